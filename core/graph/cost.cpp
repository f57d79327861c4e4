#include "lathe/core/graph/cost.h"

#include <set>

#include "lathe/core/graph/memory_plan.h"

namespace lathe {

int64_t macs(const Graph& graph, const GraphNode& node, MacsCount count) {
    if (count == MacsCount::lab && node.op->traits.lab_macs) return node.shape.numel();
    return node.op->macs ? node.op->macs(node.attributes, graph.input_shapes(node), node.shape) : 0;
}

int64_t macs(const Graph& graph, MacsCount count) {
    int64_t total = 0;
    for (const GraphNode& node : graph.nodes) total += macs(graph, node, count);
    return total;
}

int64_t parameter_count(const Graph& graph, const GraphNode& node) {
    std::set<int> seen;
    std::vector<int> left = node.inputs;
    int64_t count = 0;
    while (!left.empty()) {
        const int at = left.back();
        left.pop_back();
        if (at < 0 || graph.nodes[static_cast<size_t>(at)].activation || !seen.insert(at).second) continue;
        const GraphNode& source = graph.nodes[static_cast<size_t>(at)];
        if (source.op == "parameter") count += source.shape.numel();
        left.insert(left.end(), source.inputs.begin(), source.inputs.end());
    }
    return count;
}

std::vector<int64_t> activation_bytes(const Graph& graph) {
    std::vector<int64_t> bytes(graph.nodes.size(), 0);
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
        const GraphNode& node = graph.nodes[i];
        if (node.activation && !node.op->traits.view)
            bytes[i] = node.shape.numel() * static_cast<int64_t>(size_of(node.dtype));
    }
    return bytes;
}

int64_t peak_activation_bytes(const Graph& graph) {
    return plan_memory(graph, {.in_place = false, .alignment = 1}).lower_bound;
}

int64_t bytes(const Graph& graph, const GraphNode& node) {
    if (!node.is_op() || node.op->traits.view) return 0;
    int64_t total = node.shape.numel() * static_cast<int64_t>(size_of(node.dtype));
    for (int from : node.inputs)
        if (from >= 0) total += graph[from].shape.numel() * static_cast<int64_t>(size_of(graph[from].dtype));
    return total;
}

kernels::Conv2dShape conv2d_shape(const Graph& graph, const GraphNode& node) {
    return node.op->layer(node.attributes, graph.input_shapes(node));
}

}  // namespace lathe
