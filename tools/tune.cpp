#include <algorithm>
#include <cmath>
#include <cstdio>

#include "lathe/core/error.h"
#include "lathe/core/kernels/conv2d/algorithms.h"
#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/kernels/sparse/break_even.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/core/measure/timing.h"
#include "lathe/core/parallel.h"
#include "lathe/core/text_table.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/progress.h"

namespace lathe::tools {

namespace {

using kernels::Conv2dShape;
using kernels::SparsePattern;
using kernels::sparse::BreakEven;
using kernels::sparse::BreakEvenTable;

struct TuneOptions {
    int threads = 0;
    double seconds = 40;
    std::string out;
};

// Layers that stand for a row, of networks for small images: those with the fewest channels that it is for, and wider ones.
struct Layer {
    const char* dense;
    int64_t channels;  // of the row
    int64_t size, in_c, out_c, kernel, stride;
};
constexpr Layer kLayers[] = {
    {"winograd4", 16, 32, 16, 16, 3, 1}, {"winograd4", 16, 16, 64, 64, 3, 1}, {"winograd4", 16, 8, 128, 256, 3, 1},
    {"direct", 16, 32, 16, 32, 3, 2},    {"direct", 16, 16, 64, 128, 3, 2},   {"im2col", 64, 8, 64, 64, 3, 1},
    {"im2col", 64, 4, 256, 256, 3, 1},   {"gemm1x1", 64, 8, 64, 384, 1, 1},   {"gemm1x1", 64, 4, 576, 160, 1, 1},
    {"gemm1x1", 64, 1, 512, 512, 1, 1},  {"gemm1x1", 32, 16, 32, 192, 1, 1},  {"gemm1x1", 32, 16, 192, 32, 1, 1},
    {"gemm1x1", 16, 32, 16, 96, 1, 1},   {"gemm1x1", 16, 16, 144, 24, 1, 1},
};

Conv2dShape shape_of(const Layer& l, int64_t batch) {
    const int64_t out = (l.size + l.stride - 1) / l.stride;
    return {.batch = batch, .in_h = l.size, .in_w = l.size, .in_c = l.in_c, .out_h = out, .out_w = out, .out_c = l.out_c,
            .kernel_h = l.kernel, .kernel_w = l.kernel, .stride_h = l.stride, .stride_w = l.stride, .pad_top = l.kernel / 2,
            .pad_left = l.kernel / 2};
}

// One layer as it is timed.
struct Case {
    size_t row;
    Conv2dShape shape;
    int threads;
};

std::vector<Case> cases(const BreakEvenTable& table, int threads) {
    constexpr int64_t kPixels = 16;  // fewer never run sparse
    std::vector<Case> found;
    for (size_t r = 0; r < table.rows.size(); ++r)
        for (const Layer& layer : kLayers)
            for (int64_t batch : {1, 32})
                for (int count : threads > 1 ? std::vector{1, threads} : std::vector{1}) {
                    const Conv2dShape shape = shape_of(layer, batch);
                    if (layer.dense != table.rows[r].dense || layer.channels != table.rows[r].channels) continue;
                    if (kernels::conv2d_algorithm(shape, kernels::Conv2dPass::forward).name != table.rows[r].dense || batch * shape.out_h * shape.out_w < kPixels) continue;
                    found.push_back({r, shape, count});
                }
    return found;
}

// Sparsities at which a pattern is timed. N of 4 has one: its kernel takes as long for any weights.
std::vector<double> sparsities(SparsePattern pattern) {
    if (pattern == SparsePattern::one_of_four) return {0.75};
    if (pattern == SparsePattern::two_of_four) return {0.5};
    return {0.25, 0.5, 0.7, 0.8, 0.9, 0.95};  // prepare_fastest looks at none below
}

constexpr SparsePattern kPatterns[] = {SparsePattern::unstructured, SparsePattern::one_of_four, SparsePattern::two_of_four,
                                       SparsePattern::row_blocks, SparsePattern::column_blocks};

// Where the sparse kernel, taking `times` of the dense one's time at these sparsities, starts to win and goes on to.
double crossing(const std::vector<double>& at, const std::vector<double>& times) {
    constexpr double kWin = 0.97;  // a gain that noise does not explain
    size_t i = at.size();
    while (i > 0 && times[i - 1] < kWin) --i;
    if (i == at.size()) return 1;
    if (i == 0) return at[0];
    return at[i - 1] + (at[i] - at[i - 1]) * (times[i - 1] - kWin) / (times[i - 1] - times[i]);
}

// The break-even of every pattern for one layer.
std::array<double, 5> measure(const Case& c, double seconds) {
    std::vector<std::unique_ptr<kernels::PreparedConv2d>> layers;
    layers.push_back(kernels::conv2d_prepare(c.shape, kernels::random_weights(c.shape, SparsePattern::unstructured, 0).data()));
    for (SparsePattern pattern : kPatterns)
        for (double sparsity : sparsities(pattern))
            layers.push_back(kernels::sparse::prepare(c.shape, kernels::random_weights(c.shape, pattern, sparsity).data(), pattern));
    std::vector<const kernels::PreparedConv2d*> order;
    for (const auto& layer : layers) order.push_back(layer.get());
    const std::vector<double> times = kernels::median_seconds(order, c.shape, seconds);
    std::array<double, 5> found{};
    size_t next = 1;
    for (SparsePattern pattern : kPatterns) {
        const std::vector<double> at = sparsities(pattern);
        std::vector<double> relative;
        for (size_t i = 0; i < at.size(); ++i) relative.push_back(times[next++] / times[0]);
        found[static_cast<size_t>(pattern)] = crossing(at, relative);
    }
    return found;
}

// Every row's break-even is the latest of its layers, batches and numbers of threads, in hundredths.
BreakEvenTable measure_table(const TuneOptions& o) {
    BreakEvenTable table = kernels::sparse::shipped_break_even();
    for (BreakEven& row : table.rows) row.sparsity = {};
    const int most = threads();
    const std::vector<Case> all = cases(table, most);
    Progress progress("tune", static_cast<int64_t>(all.size()));
    for (size_t i = 0; i < all.size(); ++i) {
        set_threads(all[i].threads);
        const std::array<double, 5> found = measure(all[i], o.seconds / static_cast<double>(all.size()));
        std::array<double, 5>& row = table.rows[all[i].row].sparsity;
        for (size_t p = 0; p < row.size(); ++p) row[p] = std::max(row[p], std::ceil(found[p] * 100 - 1e-9) / 100);
        progress.update(static_cast<int64_t>(i) + 1);
    }
    set_threads(most);
    return table;
}

std::string cell(double sparsity) { return sparsity < 1 ? format("%.0f%%", 100 * sparsity) : "never"; }

void tune(const TuneOptions& o) {
    const std::string path = o.out.empty() ? kernels::sparse::break_even_file() : o.out;
    check(!path.empty(), "tune: there is no home folder to keep the table in; expected --out FILE");
    if (o.threads > 0) set_threads(o.threads);
    BreakEvenTable old = kernels::sparse::shipped_break_even();
    try {
        old = kernels::sparse::break_even();
    } catch (const Error&) {  // a damaged or missing file is about to be replaced
    }
    BreakEvenTable fresh = measure_table(o);
    kernels::sparse::write_break_even(path, kernels::active_isa(), fresh);

    std::vector<std::string> header{"dense kernel", "channels", ""};
    for (SparsePattern pattern : kPatterns) header.push_back(name_of(pattern));
    TextTable table(header);
    for (size_t r = 0; r < fresh.rows.size(); ++r)
        for (const auto& [name, row] : {std::pair("before", &old.rows[r]), std::pair("now", &fresh.rows[r])}) {
            std::vector<std::string> line{row->dense, format("%lld", static_cast<long long>(row->channels)), name};
            for (SparsePattern pattern : kPatterns) line.push_back(cell(row->sparsity[static_cast<size_t>(pattern)]));
            table.add(line);
        }
    std::printf("From which share of zeros on a sparse kernel wins (%s; at 1 and %d threads, batch 1 and 32, the latest)\n%swritten to %s\n",
                name_of(kernels::active_isa()), threads(), table.str().c_str(), path.c_str());
}

}  // namespace

void add_tune(CLI::App& app) {
    auto o = std::make_shared<TuneOptions>();
    CLI::App& c = *app.add_subcommand("tune", "Measure once from which sparsity on the sparse kernels win on this machine");
    c.add_option("--threads", o->threads, "Measured with one thread and with so many; 0: OMP_NUM_THREADS, else all cores")->check(CLI::Range(0, 4096))->capture_default_str();
    c.add_option("--seconds", o->seconds, "Time to spend, about")->check(PositiveNumber)->capture_default_str();
    c.add_option("--out", o->out, "Where to keep the table; else where LATHE_TUNE says or the user's cache folder");
    c.callback([o] { tune(*o); });
}

}  // namespace lathe::tools
