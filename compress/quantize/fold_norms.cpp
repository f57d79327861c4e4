#include "lathe/compress/quantize/fold_norms.h"

#include <map>

#include "lathe/compress/quantize/fake_quantize.h"
#include "lathe/compress/quantize/folded_norm.h"
#include "lathe/core/graph/fold.h"
#include "lathe/nn/mask.h"

namespace lathe::compress {

namespace {

class Folder {
public:
    explicit Folder(const Graph& graph) : from_(graph), at_(graph.nodes.size(), -1), readers_(graph.reader_counts()) {
        for (const auto& [norm, layer] : foldable_norms(graph)) {
            const std::vector<int>& inputs = from_[layer].inputs;
            const Factors factors{affine_of(from_[norm])};
            norm_of_[layer] = factors;
            scaled_[inputs[1]] = factors;
            if (inputs.size() > 2 && inputs[2] >= 0) shifted_[inputs[2]] = factors;
        }
    }

    Graph run() {
        for (int i = 0; i < from_.size(); ++i) at(i) = moved(i);
        for (int input : from_.inputs) to_.inputs.push_back(at(input));
        to_.output = at(from_.output);
        return pruned(std::move(to_));
    }

private:
    // What a layer gets from the norm behind it.
    struct Factors {
        OpInfo::Affine of;
    };

    int& at(int old) { return at_[static_cast<size_t>(old)]; }
    bool read_once(int node) const { return readers_[static_cast<size_t>(node)] == 1; }

    OpInfo::Affine affine_of(const GraphNode& norm) const {
        std::vector<Tensor> inputs;
        for (int input : norm.inputs)
            inputs.push_back(input < 0 || input == norm.inputs[0] ? Tensor{} : from_[input].value);
        return norm.op->affine(norm.attributes, inputs);
    }

    int append(GraphNode node) {
        to_.nodes.push_back(std::move(node));
        return to_.size() - 1;
    }
    int parameter(const Tensor& value, const std::string& path, Attributes attributes = {}) {
        return append({.op = "parameter", .path = path, .attributes = std::move(attributes), .shape = value.shape(),
                       .value = value});
    }

    int moved(int i) {
        GraphNode node = from_[i];
        if (!node.is_op()) return leaf(i, std::move(node));
        if (node.op->affine && node.activation) {
            if (norm_of_.count(node.inputs[0])) return activated(at(node.inputs[0]), node, activation_of(node));
            if (node.shape.rank() == 4) return alone(node);
        }
        if (node.op->activation == Activation::relu && read_once(node.inputs[0]))
            if (GraphNode& sum = to_[at(node.inputs[0])]; sum.op->adds && sum.attributes.text("activation") == "none") {
                sum.attributes.set("activation", std::string(name_of(Activation::relu)));
                return at(node.inputs[0]);
            }
        for (int& input : node.inputs)
            if (input >= 0) input = at(input);
        if (const auto found = norm_of_.find(i); found != norm_of_.end()) {
            node.inputs.resize(3, -1);
            if (node.inputs[2] < 0) node.inputs[2] = parameter(tensor_of(found->second.of.shift), node.path + ".bias");
        }
        return append(std::move(node));
    }

    int leaf(int i, GraphNode node) {
        const bool scaled = scaled_.count(i), shifted = shifted_.count(i);
        if (scaled || shifted) {
            const OpInfo::Affine& by = (scaled ? scaled_ : shifted_).at(i).of;
            node.value = node.value.clone();
            const int64_t rows = node.value.dim(0), row = node.value.numel() / std::max<int64_t>(1, rows);
            float* w = node.value.mutable_data<float>();
            for (int64_t k = 0; k < rows; ++k)
                for (int64_t j = k * row; j < (k + 1) * row; ++j)
                    w[j] = static_cast<float>(w[j] * by.scale[static_cast<size_t>(k)] +
                                              (shifted ? by.shift[static_cast<size_t>(k)] : 0));
        }
        return append(std::move(node));
    }

    static Activation activation_of(const GraphNode& norm) {
        return activation_named(norm.attributes.text("activation"));
    }

    int activated(int value, const GraphNode& norm, Activation activation) {
        if (activation == Activation::none) return value;
        return append({.op = name_of(activation), .path = norm.path, .inputs = {value}, .shape = norm.shape,
                       .dtype = norm.dtype, .activation = true});
    }

    // y = scale x + shift, channel by channel.
    int alone(const GraphNode& norm) {
        const OpInfo::Affine affine = affine_of(norm);
        const auto channels = static_cast<int64_t>(affine.scale.size());
        const int weight = parameter(tensor_of(affine.scale).reshape({channels, 1, 1, 1}), norm.path + ".weight",
                                     nn::order_attributes({.kind = nn::FileOrder::conv}));
        const int bias = parameter(tensor_of(affine.shift), norm.path + ".bias");
        const Op conv = "conv2d";
        const int y = append({.op = conv, .path = norm.path, .attributes = with_defaults(*conv, {}),
                              .inputs = {at(norm.inputs[0]), weight, bias}, .shape = norm.shape, .dtype = norm.dtype,
                              .activation = true});
        return activated(y, norm, activation_of(norm));
    }

    static Tensor tensor_of(const std::vector<double>& values) {
        return Tensor::of<float>({static_cast<int64_t>(values.size())}, {values.begin(), values.end()});
    }

    const Graph& from_;
    Graph to_;
    std::vector<int> at_;
    std::vector<int> readers_;
    std::map<int, Factors> norm_of_, scaled_, shifted_;  // of layers, weights and biases
};

// A network of the graph with weights of its own, so that training it changes nobody else's.
std::unique_ptr<nn::GraphModule> own_network(Graph graph) {
    for (GraphNode& node : graph.nodes)
        if (node.value) node.value = node.value.clone();
    return std::make_unique<nn::GraphModule>(std::move(graph));
}

std::unique_ptr<nn::GraphModule> with_transforms(Graph graph, nn::Module& module, bool quantizers) {
    const auto parameters = nn::by_name(module.named_parameters());
    auto net = own_network(std::move(graph));
    for (const auto& [name, parameter] : net->named_parameters()) {
        const auto found = parameters.find(name);
        if (found == parameters.end()) continue;
        for (const auto& transform : found->second->transforms()) {
            const auto* mask = dynamic_cast<const nn::Mask*>(transform.get());
            const auto* quantizer = dynamic_cast<const FakeQuantize*>(transform.get());
            const bool simulates = quantizers && dynamic_cast<const FoldedNorm*>(transform.get());
            check(mask || (quantizers && quantizer) || simulates,
                  "quantization: expected weights as they are or masked, got '", name, "' with ",
                  transform->describe());
            if (mask) nn::set_mask(*parameter, mask->mask().clone(), mask->pattern());
            if (quantizer) set_fake_quantize(*parameter, quantizer->grid());
        }
    }
    return net;
}

}  // namespace

std::vector<FoldableNorm> foldable_norms(const Graph& graph) {
    const std::vector<int> readers = graph.reader_counts();
    const auto read_once = [&](int node) { return readers[static_cast<size_t>(node)] == 1; };
    const auto is_own = [&](int node) { return graph[node].op == "parameter" && read_once(node); };
    std::vector<FoldableNorm> found;
    for (int i = 0; i < graph.size(); ++i) {
        const GraphNode& norm = graph[i];
        if (!norm.op->affine || !norm.activation) continue;
        const int before = norm.inputs[0];
        const GraphNode& layer = graph[before];
        if (!layer.op->layer || !read_once(before) || !is_own(layer.inputs[1])) continue;
        const int bias = layer.inputs.size() > 2 ? layer.inputs[2] : -1;
        if (bias < 0 || is_own(bias)) found.push_back({i, before});
    }
    return found;
}

Graph dense_graph(nn::Module& module, const Tensor& example) {
    Graph graph = nn::trace(module, example);
    const auto parameters = nn::by_name(module.named_parameters());
    for (GraphNode& node : graph.nodes) {  // the trace has effective values
        node.lowered = nullptr;
        if (node.op != "parameter") continue;
        const auto found = parameters.find(node.path);
        if (found == parameters.end()) continue;
        const auto* norm = found->second->find_transform<FoldedNorm>();
        node.value = norm ? norm->scaled(found->second->value()) : found->second->value();
    }
    return graph;
}

Graph fold_norms(nn::Module& module, const Tensor& example) {
    Graph folded = Folder(dense_graph(module, example)).run();
    check_pass(folded);
    return folded;
}

std::unique_ptr<nn::GraphModule> with_masks(Graph graph, nn::Module& module) {
    return with_transforms(std::move(graph), module, false);
}
std::unique_ptr<nn::GraphModule> with_masks_and_quantizers(Graph graph, nn::Module& module) {
    return with_transforms(std::move(graph), module, true);
}

std::unique_ptr<nn::Model> with_network(const nn::Model& model, std::unique_ptr<nn::Module> network) {
    auto other = std::make_unique<nn::Model>(model.architecture(), model.options(), std::move(network));
    other->class_names = model.class_names;
    other->scaling = model.scaling;
    other->metadata = model.metadata;
    return other;
}

}  // namespace lathe::compress
