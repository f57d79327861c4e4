#include "lathe/compress/quantize/calibrate.h"

#include <algorithm>
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

// What the network of a graph of dense values gives.
Tensor output_of(const Graph& graph, nn::Module& masked, const Tensor& x) {
    const NoGrad no_grad;
    const auto net = with_masks(graph, masked);
    net->eval();
    return (*net)(x).value();
}

// Decibels that the output keeps when a relu6 becomes a relu.
double change(const Graph& from, const Graph& to, nn::Module& masked, const Tensor& x) {
    const Tensor before = output_of(from, masked, x);
    return decibels(mean_square(before), mean_square_difference(before, output_of(to, masked, x)));
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
    if (equalize) {
        const Graph before = c.graph;
        c.equalized = compress::equalize(c.graph);
        if (c.equalized->relus > 0) c.equalized->change = change(before, c.graph, model.net(), c.sample);
    }
    c.edges = stored_edges(c.graph);
    const auto net = with_masks(c.graph, model.net());
    const auto parameters = nn::by_name(net->named_parameters());
    for (const GraphNode& node : c.graph.nodes)
        c.weights.push_back(node.op == "parameter" ? parameters.at(node.path)->effective().value() : node.value);
    observe(c, images, batch);
    return c;
}

}  // namespace lathe::compress
