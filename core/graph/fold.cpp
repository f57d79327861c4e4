#include "lathe/core/graph/fold.h"

namespace lathe {

namespace {

bool is_fused(Activation activation) {
    return activation == Activation::none || activation == Activation::relu || activation == Activation::relu6;
}

Activation activation_of(const GraphNode& node) { return activation_named(node.attributes.text("activation")); }

class Folder {
public:
    explicit Folder(const Graph& graph) : from_(graph), at_(graph.nodes.size(), -1), readers_(graph.reader_counts()) {}

    Graph run() {
        for (int i = 0; i < from_.size(); ++i)
            at_[static_cast<size_t>(i)] = from_[i].activation ? activation(from_[i]) : constant(from_[i]);
        for (int input : from_.inputs) to_.inputs.push_back(moved(input));
        to_.output = moved(from_.output);
        return pruned(std::move(to_));
    }

private:
    int append(GraphNode node) {
        to_.nodes.push_back(std::move(node));
        return to_.size() - 1;
    }

    int constant(GraphNode node) {
        if (node.is_op()) node.op = "constant";
        node.attributes = {};
        node.inputs.clear();
        return append(std::move(node));
    }

    int constant_of(const Tensor& value, const std::string& path, std::shared_ptr<const Lowered> lowered = nullptr) {
        return append({.op = "constant", .path = path, .shape = value.shape(), .dtype = value.dtype(), .value = value,
                       .lowered = std::move(lowered)});
    }

    int moved(int old) const { return old < 0 ? -1 : at_[static_cast<size_t>(old)]; }

    // The new node behind an old one when it is a layer with a constant weight, nothing else reads it and no activation
    // ends it yet. A later change to it appends it anew, behind what the change needs; the old place is then read by
    // nobody.
    const GraphNode* open_layer(int old) const {
        if (old < 0 || readers_[static_cast<size_t>(old)] != 1) return nullptr;
        const GraphNode& node = to_[moved(old)];
        const bool open = node.op->layer && to_[node.inputs[1]].value && activation_of(node) == Activation::none;
        return open ? &node : nullptr;
    }

    int activation(const GraphNode& node) {
        if (node.op->affine)
            if (const int layer = fold_affine(node); layer >= 0) return layer;
        if (node.op->activation != Activation::none)
            if (const int layer = fold_activation(node); layer >= 0) return layer;
        if (node.op->adds)
            if (const int sum = fold_add(node); sum >= 0) return sum;
        if (node.op->traits.view && node.op->traits.elementwise)
            return moved(node.inputs[0]);  // dropout, in evaluation
        GraphNode copy = node;
        for (int& input : copy.inputs) input = moved(input);
        if (copy.op->fused) {
            copy.op = copy.op->fused;
            copy.inputs.resize(4, -1);
            copy.attributes = with_defaults(*copy.op, copy.attributes);
        }
        return append(std::move(copy));
    }

    int fold_activation(const GraphNode& node) {
        const GraphNode* layer = open_layer(node.inputs[0]);
        if (!layer || !is_fused(node.op->activation)) return -1;
        GraphNode folded = *layer;
        folded.attributes.set("activation", std::string(name_of(node.op->activation)));
        return append(std::move(folded));
    }

    // The value of a node that depends on weights alone; empty when it is absent.
    Tensor weight(int old) const { return old < 0 ? Tensor{} : from_[old].value; }

    int fold_affine(const GraphNode& norm) {
        const GraphNode* layer = open_layer(norm.inputs[0]);
        if (!layer || layer->inputs[3] >= 0 || (layer->inputs[2] >= 0 && !to_[layer->inputs[2]].value)) return -1;
        std::vector<Tensor> inputs;
        for (int input : norm.inputs) inputs.push_back(input == norm.inputs[0] ? Tensor{} : weight(input));
        const OpInfo::Affine y = norm.op->affine(norm.attributes, inputs);
        if (!is_fused(y.activation)) return -1;
        GraphNode folded = *layer;
        Tensor w = to_[folded.inputs[1]].value.clone();
        const int64_t channels = w.dim(0), row = w.numel() / channels;
        Tensor b = folded.inputs[2] >= 0 ? to_[folded.inputs[2]].value.clone() : Tensor::zeros({channels});
        float *to = w.mutable_data<float>(), *bias = b.mutable_data<float>();
        for (int64_t k = 0; k < channels; ++k) {
            const double scale = y.scale[static_cast<size_t>(k)], shift = y.shift[static_cast<size_t>(k)];
            // In float, as Lowered keeps it: an entry of a codebook times its factor has the same bits.
            for (int64_t i = 0; i < row; ++i) to[k * row + i] *= static_cast<float>(scale);
            bias[k] = static_cast<float>(bias[k] * scale + shift);
        }
        folded.attributes.set("activation", std::string(name_of(y.activation)));
        const auto& lowered = to_[folded.inputs[1]].lowered;
        folded.inputs[1] = constant_of(w, folded.path + ".weight",
                                       lowered ? std::make_shared<const Lowered>(lowered->scaled(y.scale)) : nullptr);
        folded.inputs[2] = constant_of(b, folded.path + ".bias");
        return append(std::move(folded));
    }

    // The place of a layer that takes the addition in, behind both of its branches; -1 when neither can take the other
    // in.
    int fold_add(const GraphNode& add) {
        if (!is_fused(activation_of(add))) return -1;
        for (const size_t side : {0, 1}) {
            const int old = add.inputs[side], other = add.inputs[1 - side];
            if (old == other || from_[other].shape != add.shape || !from_[other].activation) continue;
            const GraphNode* layer = open_layer(old);
            if (!layer || layer->inputs[3] >= 0 || layer->shape != add.shape) continue;
            GraphNode sum = *layer;
            sum.inputs[3] = moved(other);
            sum.attributes.set("activation", add.attributes.text("activation"));
            return append(std::move(sum));
        }
        return -1;
    }

    const Graph& from_;
    Graph to_;
    std::vector<int> at_;  // where the old nodes' values are made now
    std::vector<int> readers_;
};

// Ops that took their size from another value have it from now on, and need that value no longer.
Graph with_fixed_sizes(Graph graph) {
    for (GraphNode& node : graph.nodes)
        if (node.op->fixed) {
            auto [op, attributes] = node.op->fixed(node.attributes, graph.input_shapes(node));
            node.op = op;
            node.attributes = std::move(attributes);
            node.inputs.resize(1);
        }
    return graph;
}

}  // namespace

Graph fold(const Graph& graph) {
    const Graph fixed = with_fixed_sizes(graph);
    Graph folded = Folder(fixed).run();
    check_pass(folded);
    return folded;
}

Graph pruned(Graph graph) {
    std::vector<bool> read(graph.nodes.size(), false);
    read[static_cast<size_t>(graph.output)] = true;
    for (int input : graph.inputs) read[static_cast<size_t>(input)] = true;
    for (int i = graph.size(); i-- > 0;)
        if (read[static_cast<size_t>(i)])
            for (int from : graph[i].inputs)
                if (from >= 0) read[static_cast<size_t>(from)] = true;
    Graph kept;
    std::vector<int> place(graph.nodes.size(), -1);
    for (int i = 0; i < graph.size(); ++i) {
        if (!read[static_cast<size_t>(i)]) continue;
        for (int& from : graph[i].inputs) from = from < 0 ? -1 : place[static_cast<size_t>(from)];
        place[static_cast<size_t>(i)] = kept.size();
        kept.nodes.push_back(std::move(graph[i]));
    }
    for (int input : graph.inputs) kept.inputs.push_back(place[static_cast<size_t>(input)]);
    kept.output = place[static_cast<size_t>(graph.output)];
    return kept;
}

}  // namespace lathe
