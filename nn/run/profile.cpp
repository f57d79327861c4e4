#include "lathe/nn/run/profile.h"

#include <algorithm>
#include <set>

#include "lathe/core/graph/cost.h"
#include "lathe/core/kernels/conv2d/algorithms.h"
#include "lathe/core/measure/median.h"
#include "lathe/nn/run/inference.h"

namespace lathe::nn {

namespace {

int64_t bytes_of(const GraphNode& node) { return node.shape.numel() * static_cast<int64_t>(size_of(node.dtype)); }

LayerProfile describe(const Graph& graph, const GraphNode& node) {
    return {.name = node.path, .op = node.op, .output = node.shape, .macs = macs(graph, node),
            .activation_bytes = bytes_of(node), .forward_bytes = bytes(graph, node)};
}

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

void describe_backward(const Graph& graph, const GraphNode& node, const std::vector<bool>& differentiable,
                       LayerProfile& layer) {
    layer.backward_bytes = layer.forward_bytes;  // reads the inputs and dy
    for (size_t k = 0; k < node.inputs.size(); ++k) {
        const int from = node.inputs[k];
        if (from < 0 || !differentiable[static_cast<size_t>(from)]) continue;
        layer.backward_bytes += bytes_of(graph[from]);
        if (k < 2) layer.backward_macs += layer.macs;  // x and weight
    }
}

}  // namespace

NetworkProfile profile(Module& network, const Tensor& x, int runs, InferenceWeights weights) {
    const Inference inference(network, x, weights);
    const Graph& graph = inference.graph();
    const int64_t output_bytes = static_cast<int64_t>(inference(x).bytes());  // warms up as well
    std::vector<std::vector<double>> seconds(graph.nodes.size());
    std::vector<int64_t> workspace(graph.nodes.size(), 0);
    for (int i = 0; i < std::max(runs, 1); ++i) {
        const std::vector<Inference::Cost> costs = inference.measure(x);
        for (size_t k = 0; k < costs.size(); ++k) {
            seconds[k].push_back(costs[k].seconds);
            workspace[k] = std::max(workspace[k], costs[k].workspace);
        }
    }
    NetworkProfile result{.layers = {}, .plan = inference.memory_plan(x),
                          .input_bytes = static_cast<int64_t>(x.bytes()), .output_bytes = output_bytes};
    for (int b : result.plan.alive_at(result.plan.busiest)) {
        const GraphNode& maker = graph[result.plan.buffers[static_cast<size_t>(b)].first];
        result.alive.push_back(maker.path.empty() ? maker.op.name() : maker.path);
    }
    for (size_t k = 0; k < graph.nodes.size(); ++k) {
        const Inference::Op& op = inference.ops()[k];
        if (!op.runs) continue;
        LayerProfile& layer = result.layers.emplace_back(describe(graph, graph.nodes[k]));
        layer.kernel = op.kernel;
        layer.params = op.weights;
        layer.nonzeros = op.nonzeros;
        layer.weight_bytes = op.weight_bytes;
        layer.macs = op.macs;
        layer.forward_bytes = op.bytes;
        layer.effective_macs = op.effective_macs;
        layer.done_macs = op.done_macs;
        layer.workspace_bytes = workspace[k];
        layer.seconds = median(seconds[k]);
    }
    return result;
}

NetworkProfile profile_training(Module& network, const Tensor& x, int runs) {
    const Graph graph = trace_backward(network, x);  // only warms up
    std::vector<std::vector<double>> forward(graph.nodes.size()), backward(graph.nodes.size());
    for (int i = 0; i < std::max(runs, 1); ++i) {
        const Graph timed = trace_backward(network, x);
        for (size_t k = 0; k < graph.nodes.size(); ++k) {
            forward[k].push_back(timed.nodes[k].seconds);
            backward[k].push_back(timed.nodes[k].backward_seconds);
        }
    }
    NetworkProfile result{.layers = {}};
    const std::vector<bool> differentiable = find_differentiable(graph);
    std::set<int> seen;
    for (size_t k = 0; k < graph.nodes.size(); ++k) {
        const GraphNode& node = graph.nodes[k];
        if (!node.is_op()) continue;
        LayerProfile& layer = result.layers.emplace_back(describe(graph, node));
        if (node.op->layer) {
            kernels::Conv2dShape shape = conv2d_shape(graph, node);
            shape.exact = false;  // as long as gradients are recorded
            layer.kernel = kernels::conv2d_algorithm_names(shape);
        }
        layer.effective_macs = layer.done_macs = layer.macs;
        for (int from : node.inputs)
            if (from >= 0 && graph[from].op == "parameter" && seen.insert(from).second) {
                layer.params += graph[from].shape.numel();
                layer.nonzeros += graph[from].value.nonzeros();
            }
        describe_backward(graph, node, differentiable, layer);
        layer.seconds = median(forward[k]);
        layer.backward_seconds = median(backward[k]);
    }
    return result;
}

}  // namespace lathe::nn
