#include "lathe/compress/budget/latency.h"

#include <algorithm>
#include <filesystem>

#include "lathe/core/files/file.h"
#include "lathe/core/files/json.inc"
#include "lathe/core/graph/cost.h"
#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/core/kernels/sparse/speed.h"
#include "lathe/core/measure/timing.h"
#include "lathe/nn/mask.h"

namespace lathe::compress {

namespace {

using kernels::Conv2dShape;
using kernels::SparsePattern;

constexpr double kNanoseconds = 1e9;  // a second
constexpr double kSparsities[] = {kernels::sparse::kLeastSparsity, 0.5, 0.75, 0.9, 0.98};

std::string key_of(const Conv2dShape& g, std::optional<SparsePattern> pattern, double sparsity) {
    TextStream key;
    key << kernels::name_of(kernels::active_isa());
    for (int64_t part : {g.batch, g.in_h, g.in_w, g.in_c, g.out_h, g.out_w, g.out_c, g.kernel_h, g.kernel_w, g.stride_h,
                         g.stride_w, g.pad_top, g.pad_left, g.dilation_h, g.dilation_w, g.groups})
        key << ' ' << part;
    if (pattern) key << ' ' << kernels::name_of(*pattern) << ' ' << sparsity;
    else key << " dense";
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

}  // namespace

double measure_layer(const Conv2dShape& shape, std::optional<SparsePattern> pattern, double sparsity) {
    constexpr double kSeconds = 0.02;
    const std::vector<float> weight =
        kernels::random_weights(shape, pattern.value_or(SparsePattern::unstructured), sparsity);
    const auto layer = pattern ? kernels::sparse::prepare(shape, weight.data(), *pattern)
                               : kernels::conv2d_prepare(shape, weight.data());
    return kernels::median_seconds({layer.get()}, shape, kSeconds).front();
}

LatencyTable::LatencyTable(std::string file, MeasureLayer measure)
    : file_(std::move(file)), measure_(std::move(measure)) {
    if (!file_.empty() && std::filesystem::exists(file_)) known_ = read_times(file_);
}

double LatencyTable::measured(const Conv2dShape& shape, std::optional<SparsePattern> pattern, double sparsity) {
    const auto [entry, is_new] = known_.try_emplace(key_of(shape, pattern, sparsity));
    if (is_new) {
        entry->second = measure_(shape, pattern, sparsity);
        if (!file_.empty()) write_file_atomically(file_, text_of(nlohmann::json(known_), 1) + "\n");
    }
    return entry->second;
}

double LatencyTable::seconds(const Conv2dShape& shape, SparsePattern pattern, double sparsity) {
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
    std::map<std::string, std::vector<Conv2dShape>> shapes;  // a weight may serve several nodes
    CostModel costs{.fixed = 0, .layers = {}, .dense = kNanoseconds * table.seconds(graph)};
    for (const GraphNode& node : graph.nodes) {
        if (!is_layer(node)) continue;
        const GraphNode* weight = graph.parameter(node, 1);
        const auto named = [&](const Sensitivity::Layer& layer) { return weight && layer.name == weight->path; };
        const Conv2dShape shape = conv2d_shape(graph, node);
        if (std::any_of(sensitivity.layers.begin(), sensitivity.layers.end(), named))
            shapes[weight->path].push_back(shape);
        else costs.fixed += kNanoseconds * table.seconds(shape);
    }
    for (const Sensitivity::Layer& layer : sensitivity.layers) {
        const auto* mask = module.named_parameters(layer.name).front().second->find_transform<nn::Mask>();
        const double present = mask ? mask->sparsity() : 0;
        costs.layers.push_back({layer.name, [&table, pattern, present, of = shapes[layer.name]](double sparsity) {
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

}  // namespace lathe::compress
