#include "lathe/tools/plot.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lathe/core/error.h"
#include "lathe/core/file.h"
#include "lathe/tools/table.h"

namespace lathe::tools {

std::string plot_quoted(const std::string& text) {
    std::string quoted = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') quoted += '\\';
        if (c == '_' || c == '^' || c == '{' || c == '}' || c == '@' || c == '&') quoted += "\\\\";  // its markup
        quoted += c;
    }
    return quoted + "\"";
}

bool plot_svg(const std::string& path, const std::string& commands, int width, int height) {
    const std::string script = path + ".gnuplot";
    write_file_atomically(script, format("set terminal svg size %d,%d font \"sans-serif,13\" background \"white\"\n", width, height) +
                                      "set output '" + path + ".svg'\n" + commands);
    const char* arguments[] = {"gnuplot", script.c_str(), nullptr};
    pid_t child = 0;
    if (posix_spawnp(&child, "gnuplot", nullptr, nullptr, const_cast<char**>(arguments), environ) != 0) return false;
    int status = 0;
    waitpid(child, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, script, ": gnuplot could not draw this");
    return true;
}

}  // namespace lathe::tools
