#include "lathe/compress/quantize/calibrate.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "lathe/compress/quantize/activations.h"
#include "lathe/compress/quantize/fold_norms.h"

namespace lathe::compress {

namespace {

constexpr int64_t kSample = 128;

Tensor inputs_of(const data::Dataset& images, int64_t begin, int64_t count) {
    std::vector<int64_t> indices(static_cast<size_t>(std::min(count, images.size() - begin)));
    std::iota(indices.begin(), indices.end(), begin);
    return images.batch(indices).input();
}

void observe(Calibration& c, const data::Dataset& images, int64_t batch) {
    c.observed.resize(static_cast<size_t>(group_count(c.edges)));
    std::map<int, int> group_of;
    for (const Edge& edge : c.edges) group_of[edge.node] = edge.group;
    for (const auto see : {&Observed::see_ends, &Observed::see_values})
        for (int64_t begin = 0; begin < images.size(); begin += batch)
            see_activations(c.graph, c.weights, inputs_of(images, begin, batch), [&](int node, const Tensor& value) {
                const auto found = group_of.find(node);
                const PathScope scope(c.graph[node].path);
                if (found != group_of.end()) (c.observed[static_cast<size_t>(found->second)].*see)(value);
                return Tensor{};
            });
}

// Of each node that is no activation its value, masks applied.
std::vector<Tensor> masked_values(const Graph& graph, nn::Module& masked) {
    const auto net = with_masks(graph, masked);
    const auto parameters = nn::by_name(net->named_parameters());
    std::vector<Tensor> values;
    for (const GraphNode& node : graph.nodes)
        values.push_back(node.op == "parameter" ? parameters.at(node.path)->effective().value() : node.value);
    return values;
}

// What reaches each relu6, and the output.
std::pair<Reach, Tensor> reach_of(const Graph& graph, const std::vector<Tensor>& weights, const Tensor& x) {
    Reach reach;
    Tensor output;
    see_activations(graph, weights, x, [&](int node, const Tensor& value) {
        for (int reader : graph.consumers(node)) {
            if (graph[reader].op->activation != Activation::relu6) continue;
            const auto channels = static_cast<size_t>(value.dim(-1));
            std::vector<double>& most = reach[reader];
            most.resize(channels, -INFINITY);
            for (int64_t i = 0; i < value.numel(); ++i) {
                double& of = most[static_cast<size_t>(i) % channels];
                of = std::max(of, static_cast<double>(value.data<float>()[i]));
            }
        }
        if (node == graph.output) output = value;
        return Tensor{};
    });
    return {reach, output};
}

EqualizeReport equalize_on(Graph& graph, nn::Module& masked, const Tensor& x) {
    const auto [reach, before] = reach_of(graph, masked_values(graph, masked), x);
    EqualizeReport report = equalize(graph, reach);
    const Tensor after = reach_of(graph, masked_values(graph, masked), x).second;
    report.same = decibels(mean_square(before), mean_square_difference(before, after));
    return report;
}

}  // namespace

bool Calibration::in_group(int group, int node) const {
    return std::any_of(edges.begin(), edges.end(),
                       [&](const Edge& edge) { return edge.group == group && edge.node == node; });
}

std::vector<int> Calibration::layer_weights() const {
    std::vector<int> found;
    for (const GraphNode& node : graph.nodes)
        if (node.op->layer && graph.parameter(node, 1) &&
            std::find(found.begin(), found.end(), node.inputs[1]) == found.end())
            found.push_back(node.inputs[1]);
    return found;
}

Calibration calibrate(nn::Model& model, const data::Dataset& images, bool equalize, int64_t batch) {
    check(images.size() > 0, "quantization: expected calibration images, got none");
    check(batch >= 1, "quantization: expected a batch of at least 1 image, got ", batch);
    const PathScope scope(model.architecture());
    Calibration c;
    c.graph = fold_norms(model.net(), model.example(1));
    c.sample = inputs_of(images, 0, kSample);
    if (equalize) c.equalized = equalize_on(c.graph, model.net(), c.sample);
    c.edges = stored_edges(c.graph);
    c.weights = masked_values(c.graph, model.net());
    observe(c, images, batch);
    return c;
}

}  // namespace lathe::compress
