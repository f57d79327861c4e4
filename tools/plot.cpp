#include "lathe/tools/plot.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lathe/core/error.h"
#include "lathe/core/files/file.h"
#include "lathe/core/text_table.h"

namespace lathe::tools {

namespace {

// A text of gnuplot that nothing in it ends.
std::string literal(const std::string& text) {
    std::string quoted = "'";
    for (char c : text) quoted += c == '\'' ? "''" : std::string(1, c);
    return quoted + "'";
}

}  // namespace

std::string plot_quoted(const std::string& text) {
    std::string quoted = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') quoted += '\\';
        if (c == '_' || c == '^' || c == '{' || c == '}' || c == '@' || c == '&') quoted += "\\\\";  // its markup
        quoted += c;
    }
    return quoted + "\"";
}

std::string sensitivity_curves(const compress::Sensitivity& s) {
    std::string text =
        "set key outside right font ',10'\nset xlabel 'sparsity'\nset ylabel 'accuracy, %'\nset format x '%.0f%%'\nset "
        "grid\n";
    for (size_t i = 0; i < s.layers.size(); ++i) {
        text += format("$layer%zu << end\n", i);
        for (const auto& point : s.layers[i].points) text += format("%g %g\n", 100 * point.sparsity, point.accuracy);
        text += "end\n";
    }
    text += "plot ";
    for (size_t i = 0; i < s.layers.size(); ++i)
        text += format("$layer%zu with linespoints title ", i) + plot_quoted(s.layers[i].name) + ", ";
    return text + format(
                      "%g with lines dashtype 2 linecolor 'black' title 'dense', %g with lines dashtype 3 linecolor "
                      "'black' title '1.5 x errors'\n",
                      s.dense.accuracy, 100 - 1.5 * (100 - s.dense.accuracy));
}

bool plot_svg(const std::string& path, const std::string& commands, int width, int height) {
    const std::string script = path + ".gnuplot";
    write_file_atomically(
        script, format("set terminal svg size %d,%d font \"sans-serif,13\" background \"white\"\n", width, height) +
                    "set output " + literal(path + ".svg") + "\n" + commands);
    const char* arguments[] = {"gnuplot", script.c_str(), nullptr};
    pid_t child = 0;
    if (posix_spawnp(&child, "gnuplot", nullptr, nullptr, const_cast<char**>(arguments), environ) != 0) return false;
    int status = 0;
    waitpid(child, &status, 0);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, script, ": gnuplot could not draw this");
    return true;
}

}  // namespace lathe::tools
