#include "lathe/core/graph/fold.h"

#include <cmath>

namespace lathe {

namespace {

bool has_weight(const GraphNode& node) { return node.op == "conv2d" || node.op == "linear"; }

class Folder {
public:
    explicit Folder(const Graph& graph) : from_(graph), at_(graph.nodes.size(), -1), readers_(graph.nodes.size(), 0) {
        for (const GraphNode& node : graph.nodes)
            for (int input : node.inputs)
                if (input >= 0) ++readers_[static_cast<size_t>(input)];
        ++readers_[static_cast<size_t>(graph.output)];
    }

    Graph run() {
        for (size_t i = 0; i < from_.nodes.size(); ++i) {
            const GraphNode& node = from_.nodes[i];
            at_[i] = node.activation ? activation(node) : constant(node);
        }
        return compacted();
    }

private:
    int append(GraphNode node) {
        nodes_.push_back(std::move(node));
        return static_cast<int>(nodes_.size()) - 1;
    }

    int constant(GraphNode node) {
        if (node.is_op()) node.op = "constant";
        node.inputs.clear();
        return append(std::move(node));
    }

    int constant_of(const Tensor& value, const std::string& path) {
        return append({.op = "constant", .path = path, .shape = value.shape(), .dtype = value.dtype(), .value = value});
    }

    int moved(int old) const { return old < 0 ? -1 : at_[static_cast<size_t>(old)]; }
    GraphNode& at(int index) { return nodes_[static_cast<size_t>(index)]; }

    // The new node behind an old one when it is a layer with a constant weight, nothing else reads it and no activation ends it yet.
    GraphNode* open_layer(int old) {
        if (old < 0 || readers_[static_cast<size_t>(old)] != 1) return nullptr;
        GraphNode& node = at(moved(old));
        const bool open = has_weight(node) && at(node.inputs[1]).value && node.attributes.text("activation") == "none";
        return open ? &node : nullptr;
    }

    int activation(const GraphNode& node) {
        if (node.op == "batch_norm" && fold_batch_norm(node)) return moved(node.inputs[0]);
        if ((node.op == "relu" || node.op == "relu6") && set_activation(node.inputs[0], node.op)) return moved(node.inputs[0]);
        if (node.op == "add")
            if (const int sum = fold_add(node); sum >= 0) return sum;
        GraphNode copy = node;
        for (int& input : copy.inputs) input = moved(input);
        if (has_weight(copy)) {
            copy.inputs.resize(4, -1);
            copy.attributes.set("activation", std::string("none"));
        }
        return append(std::move(copy));
    }

    bool set_activation(int old, const std::string& name) {
        if (name == "none") return true;
        if (name != "relu" && name != "relu6") return false;
        GraphNode* layer = open_layer(old);
        if (layer) layer->attributes.set("activation", name);
        return layer != nullptr;
    }

    // The value of a node that depends on weights alone; empty when the input is absent.
    Tensor weight(int old) const { return old < 0 ? Tensor{} : from_.nodes[static_cast<size_t>(old)].value; }

    bool fold_batch_norm(const GraphNode& norm) {
        GraphNode* layer = open_layer(norm.inputs[0]);
        const std::string& then = norm.attributes.text("activation");
        if (!layer || layer->inputs[3] >= 0 || norm.attributes.integer("training") || then == "hard_swish") return false;
        if (layer->inputs[2] >= 0 && !at(layer->inputs[2]).value) return false;
        Tensor w = at(layer->inputs[1]).value.clone();
        const int64_t channels = w.dim(0), row = w.numel() / channels;
        Tensor b = layer->inputs[2] >= 0 ? at(layer->inputs[2]).value.clone() : Tensor::zeros({channels});
        const Tensor gamma = weight(norm.inputs[1]), beta = weight(norm.inputs[2]);
        const Tensor mean = weight(norm.inputs[3]), variance = weight(norm.inputs[4]);
        float *to = w.mutable_data<float>(), *bias = b.mutable_data<float>();
        for (int64_t k = 0; k < channels; ++k) {
            const double scale = (gamma ? gamma.at(k) : 1) / std::sqrt(variance.at(k) + norm.attributes.real("eps"));
            for (int64_t i = 0; i < row; ++i) to[k * row + i] = static_cast<float>(to[k * row + i] * scale);
            bias[k] = static_cast<float>((bias[k] - mean.at(k)) * scale + (beta ? beta.at(k) : 0));
        }
        layer->attributes.set("activation", then);
        // The new constants must stand before the layer: it moves behind them.
        const int old_place = moved(norm.inputs[0]);
        GraphNode folded = std::move(at(old_place));
        at(old_place).op.clear();
        folded.inputs[1] = constant_of(w, folded.path + ".weight");
        folded.inputs[2] = constant_of(b, folded.path + ".bias");
        at_[static_cast<size_t>(norm.inputs[0])] = append(std::move(folded));
        return true;
    }

    // The new place of the addition, moved behind both of its branches; -1 when neither can take the other in.
    int fold_add(const GraphNode& add) {
        const std::string& then = add.attributes.text("activation");
        for (const int side : {0, 1}) {
            const int old = add.inputs[static_cast<size_t>(side)], other = add.inputs[static_cast<size_t>(1 - side)];
            if (old == other || from_.nodes[static_cast<size_t>(other)].shape != add.shape) continue;
            GraphNode* layer = open_layer(old);
            if (!layer || layer->inputs[3] >= 0 || layer->shape != add.shape || !from_.nodes[static_cast<size_t>(other)].activation) continue;
            GraphNode sum = std::move(*layer);
            layer->op.clear();
            sum.inputs[3] = moved(other);
            sum.attributes.set("activation", then);
            return append(std::move(sum));
        }
        return -1;
    }

    // Without the places that were left, and without weights that nothing reads.
    Graph compacted() {
        std::vector<bool> read(nodes_.size(), false);
        const auto output = static_cast<size_t>(moved(from_.output)), input = static_cast<size_t>(moved(from_.input));
        read[output] = read[input] = true;
        for (size_t i = nodes_.size(); i-- > 0;)
            if (read[i])
                for (int from : nodes_[i].inputs)
                    if (from >= 0) read[static_cast<size_t>(from)] = true;
        Graph graph;
        std::vector<int> place(nodes_.size(), -1);
        for (size_t i = 0; i < nodes_.size(); ++i) {
            if (!read[i]) continue;
            for (int& from : nodes_[i].inputs) from = from < 0 ? -1 : place[static_cast<size_t>(from)];
            place[i] = static_cast<int>(graph.nodes.size());
            graph.nodes.push_back(std::move(nodes_[i]));
        }
        graph.input = place[input];
        graph.output = place[output];
        return graph;
    }

    const Graph& from_;
    std::vector<GraphNode> nodes_;  // an empty op: a place that was left
    std::vector<int> at_;           // where the old nodes' values are made now
    std::vector<int> readers_;
};

}  // namespace

Graph fold(const Graph& graph) { return Folder(graph).run(); }

}  // namespace lathe
