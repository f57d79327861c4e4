#include "lathe/nn/run/layout.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <set>

#include "lathe/core/graph/cost.h"
#include "lathe/core/kernels/sparse/chwn.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/core/kernels/sparse/speed.h"

namespace lathe::nn {

namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

struct Cost {
    double nhwc = 0, chwn = 0;  // cycles for as many images as CHWN holds
};

const GraphNode& node_of(const Graph& graph, int index) { return graph.nodes[static_cast<size_t>(index)]; }

// Whether the op treats all images alike and all channels alike, so that it may run on either side of them.
bool is_symmetric(const Graph& graph, const GraphNode& node) {
    const int last = node.shape.rank() - 1;
    if (node.op->traits.view) {  // of one pixel, whose channels stay where they are
        const Shape& from = node_of(graph, node.inputs[0]).shape;
        return node.shape[0] == from[0] && node.shape[last] == from[from.rank() - 1] &&
               node.shape.numel() == from[0] * node.shape[last];
    }
    if (node.attributes.has("axis") && node.shape.axis(static_cast<int>(node.attributes.integer("axis"))) != last)
        return false;
    return node.op->traits.any_layout;
}

Cost cost_of(const Graph& graph, const GraphNode& node) {
    const auto fits = [&](int index) {  // [N, C] or [N, H, W, C]
        const Shape& shape = node_of(graph, index).shape;
        return (shape.rank() == 2 || shape.rank() == 4) && shape[0] == node_of(graph, graph.input()).shape[0];
    };
    if (node.op->layer) {
        const Tensor& weight = node_of(graph, node.inputs[1]).value;
        if (!weight || !fits(node.inputs[0])) return {0, kNever};
        kernels::Conv2dShape shape = conv2d_shape(graph, node);
        shape.batch = kernels::chwn::images();
        const kernels::SparsePattern pattern = weight_pattern(graph, node, shape);
        return {kernels::sparse::fastest_cycles(shape, weight.data<float>(), pattern),
                kernels::chwn::cycles(shape, weight.data<float>(), pattern)};
    }
    const auto same = [&](int index) {
        return index >= 0 && node_of(graph, index).activation && fits(index) &&
               (node.inputs.size() == 1 || node_of(graph, index).shape.rank() == node.shape.rank());
    };
    if (!is_symmetric(graph, node) || !std::all_of(node.inputs.begin(), node.inputs.end(), same)) return {0, kNever};
    return {0, 0};
}

// Which nodes the minimum cut puts on the side of CHWN: the maximum flow from NHWC to CHWN leaves the others reachable
// (Ford and Fulkerson 1956, along shortest paths).
std::vector<bool> cut(std::vector<std::vector<double>> room) {
    const size_t count = room.size(), source = count - 2, sink = count - 1;
    for (;;) {
        std::vector<size_t> from(count, count), queue{source};
        from[source] = source;
        for (size_t i = 0; i < queue.size() && from[sink] == count; ++i)
            for (size_t to = 0; to < count; ++to)
                if (from[to] == count && room[queue[i]][to] > 0) from[to] = queue[i], queue.push_back(to);
        if (from[sink] == count) {
            std::vector<bool> chwn(count - 2);
            for (size_t i = 0; i < chwn.size(); ++i) chwn[i] = from[i] == count;
            return chwn;
        }
        double flow = kNever;
        for (size_t to = sink; to != source; to = from[to]) flow = std::min(flow, room[from[to]][to]);
        for (size_t to = sink; to != source; to = from[to]) room[from[to]][to] -= flow, room[to][from[to]] += flow;
    }
}

std::vector<bool> choose(const Graph& graph) {
    const size_t count = graph.nodes.size(), source = count, sink = count + 1;
    std::vector<std::vector<double>> room(count + 2, std::vector<double>(count + 2, 0));
    const auto batch = static_cast<double>(node_of(graph, graph.input()).shape[0]);
    const auto converting = [&](const GraphNode& node) {
        return kernels::sparse::speed().sparse.convert * static_cast<double>(node.shape.numel()) / batch;
    };
    for (size_t i = 0; i < count; ++i) {
        const GraphNode& node = graph.nodes[i];
        if (!node.activation) continue;
        Cost cost = static_cast<int>(i) == graph.input() ? Cost{0, kNever} : cost_of(graph, node);
        if (static_cast<int>(i) == graph.output) cost.chwn += converting(node);
        room[source][i] = cost.chwn;
        room[i][sink] = cost.nhwc;
        for (int from : node.inputs)
            if (from >= 0 && node_of(graph, from).activation) {
                room[static_cast<size_t>(from)][i] += converting(node_of(graph, from));
                room[i][static_cast<size_t>(from)] += converting(node_of(graph, from));
            }
    }
    std::vector<bool> chwn = cut(std::move(room));
    for (size_t i = 0; i < count; ++i) chwn[i] = chwn[i] && graph.nodes[i].activation;
    return chwn;
}

// Whether the node takes the largest of every 2x2 results of a convolution that nothing else reads: the fused op has a
// place for that.
bool pools_convolution(const Graph& graph, const GraphNode& node, const std::vector<int>& readers) {
    static const Op pooling = "max_pool2d";
    if (node.op != pooling) return false;
    const GraphNode& from = node_of(graph, node.inputs[0]);
    const std::vector<int64_t> two{2, 2}, none{0, 0, 0, 0};
    return from.attributes.has("max_pool") && from.inputs[3] < 0 && readers[static_cast<size_t>(node.inputs[0])] == 1 &&
           node.attributes.integers("kernel_size") == two && node.attributes.integers("stride") == two &&
           node.attributes.integers("padding") == none;
}

}  // namespace

kernels::SparsePattern weight_pattern(const Graph& graph, const GraphNode& node, const kernels::Conv2dShape& shape) {
    const auto& lowered = node_of(graph, node.inputs[1]).lowered;
    const kernels::Pattern pattern = lowered ? lowered->pattern : kernels::Pattern{};
    return kernels::kernel_pattern(pattern, shape.out_c / shape.groups, shape.in_c / shape.groups);
}

GraphNode in_chwn(const GraphNode& node) {
    GraphNode copy = node;
    if (node.attributes.has("axis")) copy.attributes.set("axis", int64_t{0});
    if (node.op->traits.view) {
        std::vector<int64_t> shape(static_cast<size_t>(node.shape.rank()), 1);
        shape.front() = node.shape[node.shape.rank() - 1];
        shape.back() = kernels::chwn::images();
        copy.op = "reshape";
        copy.attributes = {{"shape", shape}};
    }
    return copy;
}

Graph arrange(const Graph& graph) {
    if (graph.inputs.size() != 1) return graph;
    const Shape& input = node_of(graph, graph.input()).shape;
    if (input.rank() == 0 || input[0] < kernels::chwn::images()) return graph;
    const std::vector<bool> chwn = choose(graph);
    if (std::find(chwn.begin(), chwn.end(), true) == chwn.end()) return graph;
    Graph result;
    const std::vector<int> nowhere(chwn.size(), -1);
    std::vector<int> place[2] = {nowhere, nowhere};  // in NHWC, in CHWN
    const auto append = [&](GraphNode node, bool in_chwn) {
        if (in_chwn) node.layout = Layout::chwn;
        result.nodes.push_back(std::move(node));
        return static_cast<int>(result.nodes.size()) - 1;
    };
    // Where a value stands in a layout, converted where it was made in the other.
    const auto found = [&](int index, bool in_chwn) {
        const GraphNode& node = node_of(graph, index);
        const auto at = static_cast<size_t>(index);
        if (!node.activation) in_chwn = false;  // weights have no layout
        int& to = place[in_chwn][at];
        if (to < 0)
            to = append({.op = in_chwn ? "to_chwn" : "to_nhwc", .path = node.path, .inputs = {place[!in_chwn][at]},
                         .shape = node.shape, .activation = true}, in_chwn);
        return to;
    };
    const std::vector<int> readers = graph.reader_counts();
    for (size_t i = 0; i < chwn.size(); ++i) {
        GraphNode node = graph.nodes[i];
        if (chwn[i] && pools_convolution(graph, node, readers) && chwn[static_cast<size_t>(node.inputs[0])]) {
            place[1][i] = place[1][static_cast<size_t>(node.inputs[0])];
            GraphNode& convolution = result.nodes[static_cast<size_t>(place[1][i])];
            convolution.attributes.set("max_pool", int64_t{2});
            convolution.shape = node.shape;
            continue;
        }
        for (int& from : node.inputs)
            if (from >= 0) from = found(from, chwn[i]);
        place[chwn[i]][i] = append(std::move(node), chwn[i]);
    }
    result.output = found(graph.output, false);
    result.inputs = {place[0][static_cast<size_t>(graph.input())]};
    check_pass(result);
    return result;
}

}  // namespace lathe::nn
