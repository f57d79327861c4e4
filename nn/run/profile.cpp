#include "lathe/nn/run/profile.h"

#include <algorithm>

#include "lathe/core/graph/cost.h"
#include "lathe/core/kernels/conv2d/algorithms.h"
#include "lathe/core/measure/median.h"

namespace lathe::nn {

namespace {

int64_t bytes_of(const GraphNode& node) { return node.shape.numel() * static_cast<int64_t>(size_of(node.dtype)); }

// Which nodes depend on a parameter, so that backward reaches them.
std::vector<bool> find_differentiable(const Graph& graph) {
    std::vector<bool> found(graph.nodes.size(), false);
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
        found[i] = graph.nodes[i].op == "parameter";
        for (int input : graph.nodes[i].inputs)
            if (input >= 0 && found[static_cast<size_t>(input)]) found[i] = true;
    }
    return found;
}

LayerProfile describe(const Graph& graph, const GraphNode& node, const std::vector<bool>& differentiable, bool backward) {
    LayerProfile layer{.name = node.path, .op = node.op, .output = node.shape, .macs = macs(graph, node), .activation_bytes = bytes_of(node)};
    if (node.op->layer) {
        const kernels::Conv2dShape shape = conv2d_shape(graph, node);
        layer.kernel = backward ? kernels::conv2d_algorithm_names(shape)
                                : kernels::conv2d_algorithm(shape, kernels::Conv2dPass::forward).name;
    }
    int64_t inputs = 0, gradients = 0;  // bytes
    for (size_t i = 0; i < node.inputs.size(); ++i) {
        if (const GraphNode* parameter = graph.parameter(node, i)) layer.params += parameter->shape.numel();
        if (node.inputs[i] < 0) continue;
        const auto at = static_cast<size_t>(node.inputs[i]);
        inputs += bytes_of(graph.nodes[at]);
        if (!differentiable[at]) continue;
        gradients += bytes_of(graph.nodes[at]);
        if (i < 2) layer.backward_macs += layer.macs;  // x and weight
    }
    layer.forward_bytes = inputs + layer.activation_bytes;
    layer.backward_bytes = inputs + layer.activation_bytes + gradients;  // reads the inputs and dy
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
    const std::vector<bool> differentiable = find_differentiable(graph);
    for (size_t k = 0; k < graph.nodes.size(); ++k) {
        if (!graph.nodes[k].is_op()) continue;
        LayerProfile& layer = result.layers.emplace_back(describe(graph, graph.nodes[k], differentiable, options.backward));
        layer.seconds = median(forward[k]);
        layer.backward_seconds = median(backward[k]);
    }
    return result;
}

}  // namespace lathe::nn
