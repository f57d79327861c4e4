#include "lathe/compress/quantize/simulate_norms.h"

#include <set>

#include "lathe/compress/quantize/fold_norms.h"
#include "lathe/compress/quantize/folded_norm.h"
#include "lathe/core/graph/fold.h"
#include "lathe/core/ops/batch_norm.h"

namespace lathe::compress {

namespace {

// A norm of the original network, and the layer before it.
struct Norm {
    GraphNode node;
    std::string weight_name, bias_name, mean_name, variance_name;
    Tensor weight, mean, variance;  // mean of the layer without its bias
};

Norm norm_of(const Graph& graph, const FoldableNorm& found) {
    const GraphNode &node = graph[found.norm], &layer = graph[found.layer];
    const auto input = [&](const GraphNode& of, size_t k) {
        return k < of.inputs.size() && of.inputs[k] >= 0 ? &graph[of.inputs[k]] : nullptr;
    };
    const auto name = [&](size_t k, const char* usual) {
        const GraphNode* leaf = input(node, k);
        return leaf ? leaf->path : node.path + "." + usual;
    };
    Norm norm{.node = node, .weight_name = name(1, "weight"), .bias_name = name(2, "bias"),
              .mean_name = name(3, "running_mean"), .variance_name = name(4, "running_var"),
              .weight = input(node, 1) ? input(node, 1)->value.clone() : Tensor::full({node.shape.back()}, 1),
              .mean = input(node, 3)->value.clone(), .variance = input(node, 4)->value};
    if (const GraphNode* bias = input(layer, 2))
        for (int64_t k = 0; k < norm.mean.numel(); ++k)
            norm.mean.mutable_data<float>()[k] -= bias->value.data<float>()[k];
    norm.node.attributes.set("activation", std::string("none"));
    norm.node.attributes.set("folded", int64_t{1});
    return norm;
}

class Simulation {
public:
    Simulation(const Graph& folded, const Graph& original, const ChannelFactors& factors)
        : from_(folded), factors_(factors) {
        std::set<std::string> taken;  // a norm behind two layers is one for each once they are folded
        for (const FoldableNorm& found : foldable_norms(original)) {
            const Norm norm = norm_of(original, found);
            if (taken.insert(norm.weight_name).second) norms_[original[original[found.layer].inputs[1]].path] = norm;
        }
    }

    Graph run() {
        std::vector<int> at;
        for (GraphNode node : from_.nodes) {
            for (int& input : node.inputs) input = input < 0 ? -1 : at[static_cast<size_t>(input)];
            const GraphNode* weight = node.op->layer ? to_.parameter(node, 1) : nullptr;
            const auto norm = weight ? norms_.find(weight->path) : norms_.end();
            at.push_back(norm == norms_.end() ? append(std::move(node)) : with_norm(std::move(node), norm->second));
        }
        for (int input : from_.inputs) to_.inputs.push_back(at[static_cast<size_t>(input)]);
        to_.output = at[static_cast<size_t>(from_.output)];
        return pruned(std::move(to_));
    }

    const std::map<std::string, Norm>& norms() const { return norms_; }  // by the weights of their layers

private:
    int append(GraphNode node) {
        to_.nodes.push_back(std::move(node));
        return to_.size() - 1;
    }
    int leaf(const char* op, const std::string& path, const Tensor& value) {
        return append({.op = op, .path = path, .shape = value.shape(), .value = value});
    }

    // From the folded weight W and bias b back to weight = W / f and the norm's bias = b + mean f.
    int with_norm(GraphNode layer, Norm& norm) {
        Tensor weight = to_[layer.inputs[1]].value.clone(), bias = to_[layer.inputs[2]].value.clone();
        const auto factors = factors_.find(to_[layer.inputs[1]].path);
        const int64_t row = weight.numel() / weight.dim(0);
        float *w = weight.mutable_data<float>(), *b = bias.mutable_data<float>();
        float* scale = norm.weight.mutable_data<float>();
        for (int64_t k = 0; k < weight.dim(0); ++k) {
            if (factors != factors_.end()) scale[k] *= static_cast<float>(factors->second[static_cast<size_t>(k)]);
            const double f = ops::folded_factor(scale[k], norm.variance.at(k), norm.node.attributes.real("eps"));
            for (int64_t i = k * row; i < (k + 1) * row; ++i) w[i] = static_cast<float>(w[i] / f);
            b[k] = static_cast<float>(b[k] + norm.mean.at(k) * f);
        }
        to_[layer.inputs[1]].value = weight;
        layer.inputs[2] = -1;
        GraphNode node = norm.node;
        node.inputs = {append(std::move(layer)), leaf("parameter", norm.weight_name, norm.weight),
                       leaf("parameter", norm.bias_name, bias), leaf("buffer", norm.mean_name, norm.mean),
                       leaf("buffer", norm.variance_name, norm.variance)};
        return append(std::move(node));
    }

    const Graph& from_;
    const ChannelFactors& factors_;
    std::map<std::string, Norm> norms_;
    Graph to_;
};

}  // namespace

std::unique_ptr<nn::GraphModule> simulate_norms(nn::GraphModule& folded, nn::Module& original, const Tensor& example,
                                                const ChannelFactors& factors) {
    const Graph from = dense_graph(folded, example), before = nn::trace(original, example);
    Simulation simulation(from, before, factors);
    const Graph graph = simulation.run();
    check_pass(graph);
    auto net = with_masks_and_quantizers(graph, folded);
    for (const auto& [name, parameter] : net->named_parameters()) {
        const auto found = simulation.norms().find(name);
        if (found == simulation.norms().end()) continue;
        const Norm& norm = found->second;
        parameter->add_transform(std::make_unique<FoldedNorm>(FoldedNorm::Names{norm.weight_name, norm.variance_name},
                                                              norm.node.attributes.real("eps")))
            .bind(*net);
    }
    return net;
}

std::unique_ptr<nn::Model> fold_simulated_norms(nn::Model& model) {
    return with_network(model, with_masks_and_quantizers(fold_norms(model.net(), model.example(1)), model.net()));
}

}  // namespace lathe::compress
