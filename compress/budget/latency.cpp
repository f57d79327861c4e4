#include "lathe/compress/budget/latency.h"

#include <algorithm>
#include <filesystem>

#include "lathe/core/files/file.h"
#include "lathe/core/files/json.inc"
#include "lathe/core/graph/cost.h"
#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/integer/conv2d.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/core/kernels/sparse/speed.h"
#include "lathe/core/measure/timing.h"
#include "lathe/core/memory.h"
#include "lathe/nn/mask.h"

namespace lathe::compress {

namespace {

using kernels::Conv2dShape;
using kernels::SparsePattern;

constexpr double kNanoseconds = 1e9;  // a second
constexpr double kSeconds = 0.02;     // that a layer is timed for
constexpr double kSparsities[] = {kernels::sparse::kLeastSparsity, 0.5, 0.75, 0.9, 0.98};

// Of a geometry on this instruction set.
std::string key_of(const Conv2dShape& g) {
    TextStream key;
    key << kernels::name_of(kernels::active_isa());
    for (int64_t part : {g.batch, g.in_h, g.in_w, g.in_c, g.out_h, g.out_w, g.out_c, g.kernel_h, g.kernel_w, g.stride_h,
                         g.stride_w, g.pad_top, g.pad_left, g.dilation_h, g.dilation_w, g.groups})
        key << ' ' << part;
    return key.str();
}

std::map<std::string, double> read_times(const std::string& file) {
    try {
        std::map<std::string, double> times = parse_json(read_text_file(file), file);
        if (std::all_of(times.begin(), times.end(), [](const auto& time) { return time.second > 0; })) return times;
    } catch (const nlohmann::json::exception&) {
    }
    fail(file, ": expected the times of layers, got something else");
}

bool is_layer(const GraphNode& node) { return node.op->layer != nullptr; }

// The geometries of each scanned layer, for a weight may serve several nodes, and those of all other layers.
struct Shapes {
    std::map<std::string, std::vector<Conv2dShape>> scanned;
    std::vector<Conv2dShape> others;
};
Shapes shapes_of(const Graph& graph, const Sensitivity& sensitivity) {
    Shapes shapes;
    for (const GraphNode& node : graph.nodes) {
        if (!is_layer(node)) continue;
        const GraphNode* weight = graph.parameter(node, 1);
        const auto named = [&](const Sensitivity::Layer& layer) { return weight && layer.name == weight->path; };
        const bool scanned = std::any_of(sensitivity.layers.begin(), sensitivity.layers.end(), named);
        (scanned ? shapes.scanned[weight->path] : shapes.others).push_back(conv2d_shape(graph, node));
    }
    return shapes;
}

}  // namespace

double measure_layer(const Conv2dShape& shape, std::optional<SparsePattern> pattern, double sparsity) {
    const std::vector<float> weight =
        kernels::random_weights(shape, pattern.value_or(SparsePattern::unstructured), sparsity);
    const auto layer = pattern ? kernels::sparse::prepare(shape, weight.data(), *pattern)
                               : kernels::conv2d_prepare(shape, weight.data());
    return kernels::median_seconds({layer.get()}, shape, kSeconds).front();
}

double measure_integer_layer(const Conv2dShape& shape, int bits) {
    const auto channels = static_cast<size_t>(shape.out_c);
    const std::vector<int8_t> weight(static_cast<size_t>(shape.weight_count()), 1);
    const std::vector<int32_t> zeros(channels, 0), multiplier(channels, 1 << 30), shift(channels, 40);
    const kernels::integer::PreparedLayer layer({.shape = shape, .weight = weight.data(), .bits = bits,
                                                 .bias = zeros.data(), .fraction = zeros.data(),
                                                 .multiplier = multiplier.data(), .shift = shift.data()});
    const std::vector<uint8_t> x(static_cast<size_t>(shape.batch * shape.in_h * shape.in_w * shape.in_c), 1);
    std::vector<uint8_t> y(static_cast<size_t>(shape.batch * shape.out_h * shape.out_w * shape.out_c));
    Workspace<uint8_t> scratch(layer.workspace(shape.batch));
    const auto run = [&] {
        layer.forward(kernels::integer::table(), shape.batch, x.data(), nullptr, scratch.data(), y.data());
    };
    return kernels::median_seconds({run}, kSeconds).front();
}

LatencyTable::LatencyTable(std::string file, MeasureLayer measure, MeasureIntegerLayer measure_integer)
    : file_(std::move(file)), measure_(std::move(measure)), measure_integer_(std::move(measure_integer)) {
    if (!file_.empty() && std::filesystem::exists(file_)) known_ = read_times(file_);
}

double LatencyTable::kept(const std::string& key, const std::function<double()>& measure) {
    const auto [entry, is_new] = known_.try_emplace(key);
    if (is_new) {
        entry->second = measure();
        if (!file_.empty()) write_file_atomically(file_, text_of(nlohmann::json(known_), 1) + "\n");
    }
    return entry->second;
}

double LatencyTable::measured(const Conv2dShape& shape, std::optional<SparsePattern> pattern, double sparsity) {
    TextStream key;
    key << key_of(shape);
    if (pattern) key << ' ' << kernels::name_of(*pattern) << ' ' << sparsity;
    else key << " dense";
    return kept(key.str(), [&] { return measure_(shape, pattern, sparsity); });
}

double LatencyTable::integer_seconds(const Conv2dShape& shape, int bits) {
    const int stored = bits <= 2 ? 2 : bits <= 4 ? 4 : 8;
    return kept(key_of(shape) + " int" + std::to_string(stored), [&] { return measure_integer_(shape, stored); });
}

double LatencyTable::seconds(Conv2dShape shape, SparsePattern pattern, double sparsity) {
    shape.exact = false;  // of a network in floating point, whether or not it is prepared for integers
    double low = kSparsities[0], best = measured(shape, {}, 0);
    if (sparsity < low || !kernels::sparse::faster(shape, pattern, sparsity)) return best;
    for (double next : kSparsities) {
        const double before = best;
        best = std::min(best, measured(shape, pattern, next));
        if (sparsity <= next) return next > low ? before + (best - before) * (sparsity - low) / (next - low) : best;
        low = next;
    }
    return best;
}

double LatencyTable::seconds(const Graph& graph) {
    double total = 0;
    for (const GraphNode& node : graph.nodes)
        if (is_layer(node)) total += seconds(conv2d_shape(graph, node));
    return total;
}

CostModel latency_cost(nn::Module& module, const Tensor& x, const Sensitivity& sensitivity, const Pattern& pattern,
                       LatencyTable& table) {
    const Graph graph = nn::trace(module, x);
    Shapes shapes = shapes_of(graph, sensitivity);
    CostModel costs{.fixed = 0, .layers = {}, .dense = kNanoseconds * table.seconds(graph)};
    for (const Conv2dShape& shape : shapes.others) costs.fixed += kNanoseconds * table.seconds(shape);
    for (const Sensitivity::Layer& layer : sensitivity.layers) {
        const auto* mask = module.named_parameters(layer.name).front().second->find_transform<nn::Mask>();
        const double present = mask ? mask->sparsity() : 0;
        costs.layers.push_back({layer.name, [&table, pattern, present, of = shapes.scanned[layer.name]](double sparsity,
                                                                                                        int) {
            double total = 0;
            for (const Conv2dShape& shape : of)
                total += table.seconds(
                    shape, kernels::kernel_pattern(pattern, shape.out_c / shape.groups, shape.in_c / shape.groups),
                    std::max(present, sparsity));
            return kNanoseconds * total;
        }});
    }
    return costs;
}

CostModel integer_latency_cost(nn::Module& prepared, const Tensor& x, const Sensitivity& sensitivity,
                               LatencyTable& table) {
    const Graph graph = nn::trace(prepared, x);
    Shapes shapes = shapes_of(graph, sensitivity);
    CostModel costs{.fixed = 0, .layers = {}, .dense = kNanoseconds * table.seconds(graph)};
    for (const Conv2dShape& shape : shapes.others) costs.fixed += kNanoseconds * table.integer_seconds(shape, 8);
    for (const Sensitivity::Layer& layer : sensitivity.layers)
        costs.layers.push_back({layer.name, [&table, of = shapes.scanned[layer.name]](double, int bits) {
            double total = 0;
            for (const Conv2dShape& shape : of) total += table.integer_seconds(shape, bits);
            return kNanoseconds * total;
        }});
    return costs;
}

}  // namespace lathe::compress
