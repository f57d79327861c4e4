#include "lathe/compress/quantize/edges.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace lathe::compress {

namespace {

template <class T>
decltype(auto) at(T& values, int i) {
    return values[static_cast<size_t>(i)];
}

class Finder {
public:
    explicit Finder(const Graph& graph)
        : graph_(graph), readers_(graph.nodes.size()), taken_in_(graph.nodes.size(), false),
          open_(graph.nodes.size(), false), group_(graph.nodes.size()) {
        std::iota(group_.begin(), group_.end(), 0);
        for (int i = 0; i < graph_.size(); ++i) {
            const GraphNode& node = graph_[i];
            // Of an op that takes its size from an input, that is read for its shape alone.
            const size_t read = node.op->fixed ? 1 : node.inputs.size();
            for (size_t k = 0; k < read; ++k)
                if (node.inputs[k] >= 0) at(readers_, node.inputs[k]).push_back(i);
        }
    }

    std::vector<Edge> run() {
        for (int i = 0; i < graph_.size(); ++i)
            if (graph_[i].activation && graph_[i].is_op()) follow(i);
        const std::vector<std::string> names = graph_.names();
        std::vector<Edge> edges;
        std::map<int, int> numbers;
        for (int i = 0; i < graph_.size(); ++i)
            if (is_stored(i)) {
                const int group = numbers.emplace(root(i), static_cast<int>(numbers.size())).first->second;
                edges.push_back({i, names[static_cast<size_t>(i)], group});
            }
        return edges;
    }

private:
    int root(int i) const {
        while (at(group_, i) != i) i = at(group_, i);
        return i;
    }

    bool is_stored(int i) const {
        const GraphNode& node = graph_[i];
        return node.activation && is_float(node.dtype) && !at(taken_in_, i) && !node.op->traits.view &&
               !node.op->traits.probabilities;
    }

    bool only_reader_is(int value, int reader) const {
        return value != graph_.output && at(readers_, value) == std::vector<int>{reader};
    }

    // A layer whose result goes to this node alone, and which has room for it.
    bool can_take(int value, int reader) const { return at(open_, value) && only_reader_is(value, reader); }

    void follow(int i) {
        const GraphNode& node = graph_[i];
        if (node.op->layer) at(open_, i) = true;
        if (node.op->adds) take_in_addend(i);
        const bool fuses = node.op->activation == Activation::relu || node.op->activation == Activation::relu6;
        if (fuses && can_take(node.inputs[0], i)) at(taken_in_, node.inputs[0]) = true;
        if (keeps_scale(*node.op))
            for (int input : node.op->fixed ? std::vector{node.inputs[0]} : node.inputs)
                if (input >= 0 && graph_[input].activation) {  // to the first of all
                    const auto [first, second] = std::minmax({root(i), root(input)});
                    at(group_, second) = first;
                }
    }

    // The layer that lathe::fold gives the addition to.
    void take_in_addend(int i) {
        const GraphNode& add = graph_[i];
        for (const size_t side : {0, 1}) {
            const int value = add.inputs[side], other = add.inputs[1 - side];
            if (value == other || !graph_[other].activation || graph_[other].shape != add.shape) continue;
            if (!can_take(value, i) || !graph_[value].op->layer || graph_[value].shape != add.shape) continue;
            at(taken_in_, value) = true;
            at(open_, i) = add.attributes.text("activation") == name_of(Activation::none);
            return;
        }
    }

    // A mean does not: it has finer steps and a narrower range than what it is of, and in the old steps many of its
    // values would be exact ties.
    static bool keeps_scale(const OpInfo& op) {
        static const Op max_pool = "max_pool2d";
        switch (op.channels) {
            case ChannelRule::pool: return &op == &*max_pool;
            case ChannelRule::concat:
            case ChannelRule::slice:
            case ChannelRule::pad:
            case ChannelRule::pad_like:
            case ChannelRule::permute:
            case ChannelRule::reshape: return true;
            default: return op.traits.view;
        }
    }

    const Graph& graph_;
    std::vector<std::vector<int>> readers_;
    std::vector<bool> taken_in_;  // by the op behind, or the op before by it: not stored
    std::vector<bool> open_;      // a layer, or one with its addend, that has no activation yet
    std::vector<int> group_;      // the first node known to share the scale
};

}  // namespace

std::vector<Edge> stored_edges(const Graph& graph) { return Finder(graph).run(); }

int group_count(const std::vector<Edge>& edges) {
    int count = 0;
    for (const Edge& edge : edges) count = std::max(count, edge.group + 1);
    return count;
}

}  // namespace lathe::compress
