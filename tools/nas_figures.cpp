#include "lathe/tools/nas_figures.h"

#include "lathe/core/ceil_div.h"
#include "lathe/core/text_table.h"
#include "lathe/nas/space/layers.h"
#include "lathe/tools/plot.h"

namespace lathe::tools {

namespace {

constexpr int kBox = 40, kGap = 8, kMargin = 20, kFloor = 300;  // pixels; kFloor: where the boxes stand

struct Drawing {
    std::string svg;
    int x = kMargin;

    void text(int at_x, int at_y, const std::string& words, const char* more = "") {
        svg += format("<text x=\"%d\" y=\"%d\" text-anchor=\"middle\"%s>%s</text>\n", at_x, at_y, more, words.c_str());
    }
    // A box with what the layer does, written upwards, and its channels below.
    void layer(const std::string& words, int height, const char* colour, int64_t channels) {
        const int middle = x + kBox / 2;
        svg += format("<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"4\" fill=\"%s\" stroke=\"#555\"/>\n", x,
                      kFloor - height, kBox, height, colour);
        text(middle + 5, kFloor - height / 2, words,
             format(" transform=\"rotate(-90 %d %d)\"", middle + 5, kFloor - height / 2).c_str());
        text(middle, kFloor + 18, std::to_string(channels));
        x += kBox + kGap;
    }
    // What the layers since `begin` have in common.
    void bracket(int begin, const std::string& words) {
        const int end = x - kGap;
        svg += format("<path d=\"M%d %d v8 h%d v-8\" fill=\"none\" stroke=\"#555\"/>\n", begin, kFloor + 26,
                      end - begin);
        text((begin + end) / 2, kFloor + 50, words);
    }
};

const char* colour_of(int kernel) { return kernel == 3 ? "#bcd9f2" : kernel == 5 ? "#fbe3a4" : "#f4b8a8"; }

std::string points(const std::vector<double>& x, const std::vector<double>& y) {
    std::string text = "$points << end\n";
    for (size_t i = 0; i < x.size(); ++i) text += format("%g %g\n", x[i], y[i]);
    return text + "end\n";
}

}  // namespace

std::string drawing_of(const nas::Space& space, const nas::Arch& arch) {
    const nas::Layers layers = nas::layers_of(space, arch);
    constexpr const char* kPlain = "#e4e4e4";
    Drawing d;
    int64_t side = ceil_div(layers.image_size, layers.first_stride);
    const auto size = [&] { return format("%dx%d", static_cast<int>(side), static_cast<int>(side)); };
    int begin = d.x;
    d.layer("Conv 3x3", 100, kPlain, layers.first);
    if (layers.second) d.layer("Conv 1x1", 100, kPlain, layers.second);
    d.bracket(begin, size());
    for (size_t i = 0; i < layers.blocks.size(); ++i) {
        const nas::Block& block = layers.blocks[i];
        if (i == 0 || block.stage != layers.blocks[i - 1].stage) begin = d.x;
        side = ceil_div(side, block.stride);
        const char* kind = layers.kind == nas::BlockKind::basic ? "Basic" : "MB";
        d.layer(format("%s%d %dx%d%s", kind, block.expansion, block.kernel, block.kernel, block.squeezed ? " SE" : ""),
                60 + 30 * block.expansion, colour_of(block.kernel), block.out);
        if (i + 1 == layers.blocks.size() || layers.blocks[i + 1].stage != block.stage) d.bracket(begin, size());
    }
    begin = d.x;
    if (layers.last) d.layer("Conv 1x1", 100, kPlain, layers.last);
    d.layer("Pool, FC", 100, kPlain, layers.classes);
    d.bracket(begin, size());
    const int width = d.x + kMargin, height = kFloor + 70;
    return format("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
                  "font-size=\"13\">\n<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n",
                  width, height, width, height) +
           d.svg + "</svg>\n";
}

std::string predictor_scatter(const nas::PredictorReport& report) {
    std::vector<double> measured, predicted;
    for (size_t i = 0; i < report.measured.size(); ++i) {
        measured.push_back(100 * report.measured[i]);
        predicted.push_back(100 * report.predicted[i]);
    }
    return points(measured, predicted) +
           "set xlabel 'measured accuracy, %'\nset ylabel 'predicted accuracy, %'\nset grid\nset key left top\n" +
           format("plot $points with points pointtype 7 pointsize 0.2 title '%zu subnets that it was not trained on', "
                  "x with lines linecolor 'black' dashtype 2 title 'equal'\n",
                  measured.size());
}

std::string latency_scatter(const nas::LatencyCheck& check) {
    std::vector<double> measured, predicted;
    for (double seconds : check.measured) measured.push_back(1e3 * seconds);
    for (double seconds : check.predicted) predicted.push_back(1e3 * seconds);
    return points(measured, predicted) +
           "set xlabel 'measured, ms'\nset ylabel 'sum of the parts, ms'\nset grid\nset key left top\n" +
           format("plot $points with points pointtype 7 pointsize 0.5 title '%zu random networks', "
                  "x with lines linecolor 'black' dashtype 2 title 'equal'\n",
                  measured.size());
}

std::string search_curves(const std::vector<NamedSearch>& searches) {
    std::string text, plots;
    for (size_t i = 0; i < searches.size(); ++i) {
        text += format("$search%zu << end\n", i);
        for (const auto& [scored, best] : searches[i].steps)
            text += format("%lld %.8g\n", static_cast<long long>(scored), 100 * best);
        text += "end\n";
        plots += format("$search%zu with steps linewidth 2 title ", i) + plot_quoted(searches[i].name) + ", ";
    }
    return text + "set xlabel 'subnets scored'\nset ylabel 'best predicted accuracy so far, %'\nset grid\n"
                  "set key right bottom\nset logscale x\nplot " + plots.substr(0, plots.size() - 2) + "\n";
}

std::string front_curve(const std::vector<nas::Candidate>& front, nas::Quantity quantity) {
    std::vector<double> costs, scores;
    for (const nas::Candidate& candidate : front) {
        costs.push_back(static_cast<double>(nas::value_of(candidate.cost, quantity)));
        scores.push_back(100 * candidate.score);
    }
    return points(costs, scores) + "set xlabel " + plot_quoted(nas::name_of(quantity)) +
           "\nset format x '%.1s%c'\nset ylabel 'predicted accuracy, %'\nset grid\n"
           "plot $points with points pointtype 7 pointsize 0.6 notitle\n";
}

}  // namespace lathe::tools
