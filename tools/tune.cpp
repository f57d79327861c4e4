#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>

#include "lathe/core/ceil_div.h"
#include "lathe/core/error.h"
#include "lathe/core/kernels/conv2d/algorithms.h"
#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/integer/conv2d.h"
#include "lathe/core/kernels/sparse/chwn.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/core/kernels/sparse/speed.h"
#include "lathe/core/measure/median.h"
#include "lathe/core/measure/timing.h"
#include "lathe/core/parallel.h"
#include "lathe/core/random.h"
#include "lathe/core/text_table.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/common_options.h"
#include "lathe/tools/progress.h"

namespace lathe::tools {

namespace {

using kernels::Conv2dShape;
using kernels::SparsePattern;
using kernels::sparse::BreakEven;
using kernels::sparse::DenseRate;
using kernels::sparse::IntegerCosts;
using kernels::sparse::Speed;

struct TuneOptions {
    double seconds = 40;
    std::string out;
};

// Layers of networks for small images, to stand for the rows of the table: with the fewest channels that a row is for,
// and wider.
struct Layer {
    int64_t size, in_c, out_c, kernel, stride;
    bool depthwise = false;
};
constexpr Layer kLayers[] = {
    {32, 16, 16, 3, 1}, {16, 64, 64, 3, 1},   {8, 128, 256, 3, 1}, {32, 16, 32, 3, 2},       {16, 64, 128, 3, 2},
    {8, 64, 64, 3, 1},  {4, 256, 256, 3, 1},  {8, 64, 384, 1, 1},  {4, 576, 160, 1, 1},      {1, 512, 512, 1, 1},
    {16, 32, 192, 1, 1}, {16, 192, 32, 1, 1}, {32, 16, 96, 1, 1},  {16, 144, 24, 1, 1},      {28, 1, 6, 5, 1},
    {32, 96, 96, 3, 1, true}, {16, 192, 192, 3, 2, true},
};

Conv2dShape shape_of(const Layer& l, int64_t batch) {
    const int64_t out = ceil_div(l.size, l.stride);
    return {.batch = batch, .in_h = l.size, .in_w = l.size, .in_c = l.in_c, .out_h = out, .out_w = out,
            .out_c = l.out_c, .kernel_h = l.kernel, .kernel_w = l.kernel, .stride_h = l.stride, .stride_w = l.stride,
            .pad_top = l.kernel / 2, .pad_left = l.kernel / 2, .groups = l.depthwise ? l.in_c : 1};
}

// One layer as it is timed.
struct Case {
    Conv2dShape shape;
    int threads;
    bool sparse;  // has a break-even
};

std::vector<Case> cases(const Speed& table, int threads) {
    std::vector<Case> found;
    for (const Layer& layer : kLayers)
        for (int64_t batch : {1, 32})
            for (int count : threads > 1 ? std::vector{1, threads} : std::vector{1}) {
                const Conv2dShape shape = shape_of(layer, batch);
                const bool sparse =
                    table.break_even_of(shape) && batch * shape.out_h * shape.out_w >= kernels::sparse::kFewestPixels;
                if (sparse || (count == 1 && batch > 1)) found.push_back({shape, count, sparse});
            }
    return found;
}

// Sparsities at which a pattern is timed. N of 4 has one: its kernel takes as long for any weights.
std::vector<double> sparsities(SparsePattern pattern) {
    if (pattern == SparsePattern::one_of_four) return {0.75};
    if (pattern == SparsePattern::two_of_four) return {0.5};
    return {kernels::sparse::kLeastSparsity, 0.5, 0.7, 0.8, 0.9, 0.95};
}

constexpr SparsePattern kPatterns[] = {SparsePattern::unstructured, SparsePattern::one_of_four,
                                       SparsePattern::two_of_four, SparsePattern::row_blocks,
                                       SparsePattern::column_blocks};

// Where the sparse kernel, taking `times` of the dense one's time at these sparsities, starts to win and goes on to.
double crossing(const std::vector<double>& at, const std::vector<double>& times) {
    constexpr double kWin = 0.97;  // a gain that noise does not explain
    size_t i = at.size();
    while (i > 0 && times[i - 1] < kWin) --i;
    if (i == at.size()) return 1;
    if (i == 0) return at[0];
    return at[i - 1] + (at[i] - at[i - 1]) * (times[i - 1] - kWin) / (times[i - 1] - times[i]);
}

// What was measured of one layer.
struct Measured {
    double dense_seconds = 0;
    std::array<double, 5> break_even{};
    std::vector<double> cycle_seconds{};  // of each sparse kernel: its time by the cycles that are estimated for it
};

Measured measure(const Case& c, double seconds) {
    std::vector<std::unique_ptr<kernels::PreparedConv2d>> layers;
    std::vector<double> cycles;
    layers.push_back(
        kernels::conv2d_prepare(c.shape, kernels::random_weights(c.shape, SparsePattern::unstructured, 0).data()));
    for (SparsePattern pattern : kPatterns)
        for (double sparsity : sparsities(pattern)) {
            if (!c.sparse) continue;
            const std::vector<float> weight = kernels::random_weights(c.shape, pattern, sparsity);
            layers.push_back(kernels::sparse::prepare(c.shape, weight.data(), pattern));
            cycles.push_back(kernels::sparse::cycles(c.shape, weight.data(), pattern));
        }
    std::vector<const kernels::PreparedConv2d*> order;
    for (const auto& layer : layers) order.push_back(layer.get());
    const std::vector<double> times = kernels::median_seconds(order, c.shape, seconds);
    Measured found{.dense_seconds = times[0]};
    for (size_t i = 0; i < cycles.size(); ++i) found.cycle_seconds.push_back(times[i + 1] / cycles[i]);
    size_t next = 1;
    for (SparsePattern pattern : kPatterns) {
        if (!c.sparse) break;
        const std::vector<double> at = sparsities(pattern);
        std::vector<double> relative;
        for (size_t i = 0; i < at.size(); ++i) relative.push_back(times[next++] / times[0]);
        found.break_even[static_cast<size_t>(pattern)] = crossing(at, relative);
    }
    return found;
}

// Seconds that a vector takes between NHWC and CHWN: the mean of both ways over a map larger than the near caches.
double converting_seconds() {
    constexpr int64_t kPixels = 1024, kChannels = 64, kTurns = 9;
    const int64_t images = kernels::chwn::images();
    std::vector<float> x(static_cast<size_t>(images * kPixels * kChannels), 0.5f), y(x.size());
    std::vector<double> times;
    for (int64_t turn = 0; turn < kTurns; ++turn) {
        const auto begin = std::chrono::steady_clock::now();
        kernels::chwn::enter(kPixels, kChannels, x.data(), y.data());
        kernels::chwn::leave(kPixels, kChannels, y.data(), x.data());
        times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    return median(times) / static_cast<double>(2 * kPixels * kChannels);
}

void use_costs(const IntegerCosts& costs) {
    Speed table = kernels::sparse::speed();
    table.integer = costs;
    kernels::sparse::use_speed(table);
}

// An integer layer of random weights, 90% of them zero where it is to run sparse.
class IntegerLayer {
public:
    IntegerLayer(const Layer& of, bool sparse)
        : layer_(prepare(shape_of(of, 1), sparse)),
          x_(static_cast<size_t>(kImages * shape_of(of, 1).input().size()), 100),
          scratch_(static_cast<size_t>(layer_.workspace(kImages))),
          y_(static_cast<size_t>(kImages * shape_of(of, 1).output().size())) {}

    void run() { layer_.forward(kernels::integer::table(), kImages, x_.data(), nullptr, scratch_.data(), y_.data()); }
    double cycles(const IntegerCosts& costs) const {
        use_costs(costs);
        return layer_.cycles(kImages);
    }

private:
    static kernels::integer::PreparedLayer prepare(const Conv2dShape& g, bool sparse) {
        Random random(1);
        std::vector<int8_t> weight(static_cast<size_t>(g.weight_count()));
        for (int8_t& w : weight)
            w = sparse && random.uniform() < 0.9 ? int8_t{0} : static_cast<int8_t>(1 + random.below(100));
        const std::vector<int32_t> zeros(static_cast<size_t>(g.out_c)), ones(zeros.size(), 1);
        IntegerCosts costs = kernels::sparse::shipped_speed().integer;
        if (sparse) costs.dense = costs.finish = 1e6;
        use_costs(costs);
        const int32_t* zero = zeros.data();
        return kernels::integer::PreparedLayer({.shape = g, .weight = weight.data(), .bias = zero, .fraction = zero,
                                                .multiplier = zero, .shift = ones.data()});
    }

    static constexpr int64_t kImages = 16;
    kernels::integer::PreparedLayer layer_;
    std::vector<uint8_t> x_, scratch_, y_;
};

// Of products and of results, so that the estimates for two layers are what they took: both are linear in them. In one
// layer products take most of the time, in the other results do.
std::array<double, 2> solve(const IntegerLayer* layers, const double* taken, double IntegerCosts::*products,
                            double IntegerCosts::*results) {
    double rest[2], of_products[2], of_results[2];
    for (int i : {0, 1}) {
        IntegerCosts none{}, one_product{}, one_result{};
        one_product.*products = one_result.*results = 1;
        const double least = layers[i].cycles(none);
        rest[i] = taken[i] - least;
        of_products[i] = layers[i].cycles(one_product) - least;
        of_results[i] = layers[i].cycles(one_result) - least;
    }
    const double whole = of_products[0] * of_results[1] - of_products[1] * of_results[0];
    return {(rest[0] * of_results[1] - rest[1] * of_results[0]) / whole,
            (of_products[0] * rest[1] - of_products[1] * rest[0]) / whole};
}

// To three digits, as a table holds them.
double rounded(double value) { return std::stod(format("%.3g", value)); }

constexpr Layer kDeep{8, 128, 128, 3, 1}, kShallow{8, 16, 96, 1, 1};  // together they stay in near caches

double cost(double value) { return rounded(std::max(value, 0.01)); }  // whatever a short run finds

// Of 16 images, on one thread, in cycles of so many seconds: what vectors take.
IntegerCosts vector_costs(double cycle, double seconds) {
    IntegerLayer layers[] = {{kDeep, false}, {kShallow, false}, {kDeep, true}, {kShallow, true}};
    std::vector<std::function<void()>> works;
    for (IntegerLayer& layer : layers) works.push_back([&layer] { layer.run(); });
    std::vector<double> cycles = kernels::median_seconds(works, seconds);
    for (double& taken : cycles) taken /= cycle;
    const auto dense = solve(layers, cycles.data(), &IntegerCosts::dense, &IntegerCosts::finish);
    const auto sparse = solve(layers + 2, cycles.data() + 2, &IntegerCosts::quad, &IntegerCosts::moving);
    return {.dense = cost(dense[0]), .matrix = kernels::sparse::shipped_speed().integer.matrix,
            .finish = cost(dense[1]), .quad = cost(sparse[0]), .moving = cost(sparse[1])};
}

IntegerCosts integer_costs(double cycle, double seconds) {
    const kernels::Isa isa = kernels::active_isa();
    if (isa != kernels::Isa::amx) return vector_costs(cycle, seconds);
    kernels::use_isa(kernels::Isa::avx512);
    IntegerCosts costs = vector_costs(cycle, seconds / 2);
    kernels::use_isa(isa);
    IntegerLayer layer(kDeep, false);
    const double taken = kernels::median_seconds({[&layer] { layer.run(); }}, seconds / 2)[0] / cycle;
    IntegerCosts none = costs, one = costs;
    none.matrix = 0, one.matrix = 1;
    const double results = layer.cycles(none);
    costs.matrix = cost((taken - results) / (layer.cycles(one) - results));
    return costs;
}

// A break-even is the latest of its row's layers, batches and numbers of threads, in hundredths. A cycle is what makes
// the estimates of the sparse kernels right in the median, on one thread; dense rates and converting are measured in
// it, so that sparse, dense and converting compare as they do on this machine.
Speed measure_table(const TuneOptions& o) {
    Speed table = kernels::sparse::shipped_speed();
    for (BreakEven& row : table.break_even) row.sparsity = {};
    const int most = threads();
    const std::vector<Case> all = cases(table, most);
    std::map<std::string, std::vector<double>> dense;  // seconds of a multiply-add in a lane, by algorithm
    std::vector<double> cycle_seconds;
    Progress progress("tune", static_cast<int64_t>(all.size()));
    for (size_t i = 0; i < all.size(); ++i) {
        const Case& c = all[i];
        set_threads(c.threads);
        const Measured found = measure(c, o.seconds / static_cast<double>(all.size()));
        if (c.sparse) {
            BreakEven& row =
                table.break_even[static_cast<size_t>(table.break_even_of(c.shape) - table.break_even.data())];
            for (size_t p = 0; p < row.sparsity.size(); ++p)
                row.sparsity[p] = std::max(row.sparsity[p], std::ceil(found.break_even[p] * 100 - 1e-9) / 100);
        }
        if (c.threads == 1) {
            cycle_seconds.insert(cycle_seconds.end(), found.cycle_seconds.begin(), found.cycle_seconds.end());
            const double macs = static_cast<double>(c.shape.macs()) / kernels::table().sparse.lanes;
            dense[kernels::conv2d_algorithm(c.shape, kernels::Conv2dPass::forward).name].push_back(found.dense_seconds /
                                                                                                   macs);
        }
        progress.update(static_cast<int64_t>(i) + 1);
    }
    set_threads(1);
    const double cycle = median(cycle_seconds);
    for (DenseRate& row : table.dense)
        if (auto times = dense.find(row.algorithm); times != dense.end())
            row.rate = rounded(cycle / median(times->second));
    table.sparse.convert = rounded(converting_seconds() / cycle);
    table.integer = integer_costs(cycle, o.seconds / 20);
    set_threads(most);
    return table;
}

std::string cell(double sparsity) { return sparsity < 1 ? format("%.0f%%", 100 * sparsity) : "never"; }

void report(const Speed& old, const Speed& fresh) {
    std::vector<std::string> header{"dense kernel", "channels", ""};
    for (SparsePattern pattern : kPatterns) header.push_back(name_of(pattern));
    TextTable break_evens(header);
    for (size_t r = 0; r < fresh.break_even.size(); ++r)
        for (const auto& [name, row] :
             {std::pair("before", &old.break_even[r]), std::pair("now", &fresh.break_even[r])}) {
            std::vector<std::string> line{row->dense, format("%lld", static_cast<long long>(row->channels)), name};
            for (SparsePattern pattern : kPatterns) line.push_back(cell(row->sparsity[static_cast<size_t>(pattern)]));
            break_evens.add(line);
        }
    TextTable rates({"dense kernel", "before", "now"});
    for (size_t r = 0; r < fresh.dense.size(); ++r)
        rates.add({fresh.dense[r].algorithm, format("%.3g", old.dense[r].rate), format("%.3g", fresh.dense[r].rate)});
    TextTable integers({"", "dense products", "by matrices", "dense results", "sparse quads", "sparse results"});
    for (const auto& [name, costs] : {std::pair("before", &old.integer), std::pair("now", &fresh.integer)})
        integers.add({name, format("%.3g", costs->dense), format("%.3g", costs->matrix), format("%.3g", costs->finish),
                      format("%.3g", costs->quad), format("%.3g", costs->moving)});
    std::printf(
        "From which share of zeros on a sparse kernel wins (%s; at 1 and %d threads, batch 1 and 32, the latest)\n%s"
        "Multiply-adds of dense kernels a lane and cycle (1 thread)\n%s"
        "Cycles that a vector takes between NHWC and CHWN: before %.3g, now %.3g\n"
        "Cycles of a vector of 8-bit integers\n%s",
        name_of(kernels::active_isa()), threads(), break_evens.str().c_str(), rates.str().c_str(), old.sparse.convert,
        fresh.sparse.convert, integers.str().c_str());
}

void tune(const TuneOptions& o) {
    const std::string path = o.out.empty() ? kernels::sparse::speed_file() : o.out;
    check(!path.empty(), "tune: there is no home folder to keep the table in; expected --out FILE");
    check(!std::filesystem::is_directory(path), path, ": expected a file to keep the table in, got a folder");
    Speed old = kernels::sparse::shipped_speed();
    try {
        old = kernels::sparse::speed();
    } catch (const Error&) {  // a damaged or missing file is about to be replaced
    }
    kernels::sparse::use_speed(kernels::sparse::shipped_speed());  // whose sparse costs the cycle is found by
    const Speed fresh = measure_table(o);
    kernels::sparse::write_speed(path, kernels::active_isa(), fresh);
    report(old, fresh);
    std::printf("written to %s\n", path.c_str());
}

}  // namespace

void add_tune(CLI::App& app) {
    auto o = std::make_shared<TuneOptions>();
    CLI::App& c = *app.add_subcommand("tune", "Measure once how fast this machine runs layers, dense and sparse");
    add_threads(c)->description("Measured with one thread and with so many; 0: OMP_NUM_THREADS, else all cores");
    c.add_option("--seconds", o->seconds, "Time to spend, about")->check(PositiveNumber)->capture_default_str();
    c.add_option("--out", o->out, "Where to keep the table; else where LATHE_TUNE says or the user's cache folder");
    c.callback([o] { tune(*o); });
}

}  // namespace lathe::tools
