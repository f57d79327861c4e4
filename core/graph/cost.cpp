#include "lathe/core/graph/cost.h"

#include <algorithm>
#include <set>

namespace lathe {

namespace {

bool is_view(const GraphNode& node) { return node.op == "reshape" || node.op == "flatten"; }

}  // namespace

int64_t macs(const Graph& graph, const GraphNode& node, MacsCount count) {
    if (count == MacsCount::lab && (node.op == "batch_norm" || node.op == "global_avg_pool")) return node.shape.numel();
    if (node.op != "conv2d" && node.op != "linear") return 0;
    const Shape& weight = graph.nodes[static_cast<size_t>(node.inputs[1])].shape;  // [out, the inputs of one output...]
    return node.shape.numel() * (weight.numel() / weight[0]);
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
        if (node.activation && !is_view(node)) bytes[i] = node.shape.numel() * static_cast<int64_t>(size_of(node.dtype));
    }
    return bytes;
}

int64_t peak_activation_bytes(const Graph& graph) {
    const size_t count = graph.nodes.size();
    const std::vector<int64_t> bytes = activation_bytes(graph);
    std::vector<size_t> owner(count), last(count);  // who holds the elements of a node, and who reads them last
    for (size_t i = 0; i < count; ++i) {
        const GraphNode& node = graph.nodes[i];
        owner[i] = is_view(node) ? owner[static_cast<size_t>(node.inputs[0])] : i;
        last[i] = i;
        for (int input : node.inputs)
            if (input >= 0) last[owner[static_cast<size_t>(input)]] = i;
    }
    last[owner[static_cast<size_t>(graph.output)]] = count;

    int64_t alive = 0, peak = 0;
    std::vector<int64_t> freed_after(count + 1, 0);
    for (size_t i = 0; i < count; ++i) {
        alive += bytes[i];
        freed_after[last[i]] += bytes[i];
        peak = std::max(peak, alive);
        alive -= freed_after[i];
    }
    return peak;
}

kernels::Conv2dShape conv2d_shape(const Graph& graph, const GraphNode& node) {
    const Shape& x = graph.nodes[static_cast<size_t>(node.inputs[0])].shape;
    const Shape& weight = graph.nodes[static_cast<size_t>(node.inputs[1])].shape;
    if (node.op == "linear")  // as many images of one pixel as there are rows
        return {.batch = x.numel() / weight[1], .in_h = 1, .in_w = 1, .in_c = weight[1], .out_h = 1, .out_w = 1, .out_c = weight[0],
                .kernel_h = 1, .kernel_w = 1};
    const auto& stride = node.attributes.integers("stride");
    const auto& padding = node.attributes.integers("padding");
    const auto& dilation = node.attributes.integers("dilation");
    return {.batch = x[0], .in_h = x[1], .in_w = x[2], .in_c = x[3], .out_h = node.shape[1], .out_w = node.shape[2],
            .out_c = node.shape[3], .kernel_h = weight[1], .kernel_w = weight[2], .stride_h = stride[0], .stride_w = stride[1],
            .pad_top = padding[0], .pad_left = padding[2], .dilation_h = dilation[0], .dilation_w = dilation[1],
            .groups = x[3] / weight[3]};
}

}  // namespace lathe
