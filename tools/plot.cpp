#include "lathe/tools/plot.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>

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
    using Point = compress::Sensitivity::Point;
    const bool over_bits = s.has_bits() && !s.has_sparsities();
    std::string text = "set key outside right font ',10'\nset ylabel 'accuracy, %'\nset grid\n";
    text += over_bits ? "set xlabel 'bits'\n" : "set xlabel 'sparsity'\nset format x '%.0f%%'\n";
    std::string curves;
    int blocks = 0;
    const auto add = [&](const std::string& name, const std::vector<Point>& points) {
        text += format("$layer%d << end\n", blocks);
        for (const Point& point : points)
            text += format("%g %g\n", over_bits ? point.bits : 100 * point.sparsity, point.accuracy);
        text += "end\n";
        curves += format("$layer%d with linespoints title ", blocks++) + plot_quoted(name) + ", ";
    };
    for (const compress::Sensitivity::Layer& layer : s.layers) {
        std::map<int, std::vector<Point>> widths;  // a curve for each, over sparsities
        for (const Point& point : layer.points) widths[over_bits ? 0 : point.bits].push_back(point);
        for (const auto& [bits, points] : widths)
            add(widths.size() > 1 ? layer.name + format(", %d bits", bits) : layer.name, points);
    }
    return text + "plot " + curves +
           format("%g with lines dashtype 2 linecolor 'black' title 'dense', %g with lines dashtype 3 linecolor "
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
