#include "lathe/nn/profile.h"

#include <algorithm>

#include "lathe/nn/cost.h"

namespace lathe::nn {

namespace {

double median(std::vector<double>& values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

int64_t bytes_of(const GraphNode& node) { return node.shape.numel() * static_cast<int64_t>(size_of(node.dtype)); }

LayerProfile describe(const Graph& graph, const GraphNode& node) {
    LayerProfile layer{.name = node.path, .op = node.op, .output = node.shape, .macs = macs(graph, node), .activation_bytes = bytes_of(node)};
    if (node.attributes.has("kernel")) layer.kernel = node.attributes.text("kernel");
    int64_t inputs = 0;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
        if (node.inputs[i] >= 0) inputs += bytes_of(graph.nodes[static_cast<size_t>(node.inputs[i])]);
        if (const GraphNode* parameter = graph.parameter(node, i)) layer.params += parameter->shape.numel();
    }
    layer.forward_bytes = inputs + layer.activation_bytes;
    layer.backward_bytes = 2 * inputs + layer.activation_bytes;  // reads x, weight and dy, writes dx and dweight
    return layer;
}

}  // namespace

NetworkProfile profile(Module& network, const Tensor& x, const ProfileOptions& options) {
    const auto run = [&] { return options.backward ? trace_backward(network, x) : trace(network, x); };
    const Graph graph = run();  // only warms up
    std::vector<std::vector<double>> forward(graph.nodes.size()), backward(graph.nodes.size());
    for (int i = 0; i < std::max(options.runs, 1); ++i) {
        const Graph timed = run();
        for (size_t k = 0; k < graph.nodes.size(); ++k) {
            forward[k].push_back(timed.nodes[k].seconds);
            backward[k].push_back(timed.nodes[k].backward_seconds);
        }
    }
    NetworkProfile result{.layers = {}, .peak_activation_bytes = peak_activation_bytes(options.backward ? trace(network, x) : graph)};
    for (size_t k = 0; k < graph.nodes.size(); ++k) {
        if (!graph.nodes[k].is_op()) continue;
        LayerProfile& layer = result.layers.emplace_back(describe(graph, graph.nodes[k]));
        layer.seconds = median(forward[k]);
        layer.backward_seconds = median(backward[k]);
    }
    return result;
}

}  // namespace lathe::nn
