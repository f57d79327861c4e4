#include "lathe/compress/quantize/prepare.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "lathe/compress/quantize/activations.h"
#include "lathe/compress/quantize/edges.h"
#include "lathe/compress/quantize/fake_quantize.h"
#include "lathe/compress/quantize/fold_norms.h"
#include "lathe/core/text_table.h"

namespace lathe::compress {

namespace {

constexpr int64_t kImagesOfAutomatic = 32;

// f(x) for the inputs of each batch.
template <class F>
void for_each_batch(const data::Dataset& images, int64_t batch, F f) {
    for (int64_t begin = 0; begin < images.size(); begin += batch) {
        std::vector<int64_t> indices(static_cast<size_t>(std::min(batch, images.size() - begin)));
        std::iota(indices.begin(), indices.end(), begin);
        f(images.batch(indices).input());
    }
}

std::vector<Tensor> values_of_weights(const Graph& graph, nn::Module& net) {
    std::map<std::string, nn::Parameter*> parameters;
    for (const auto& [name, parameter] : net.named_parameters()) parameters[name] = parameter;
    std::vector<Tensor> values;
    for (const GraphNode& node : graph.nodes)
        values.push_back(node.op == "parameter" ? parameters.at(node.path)->effective().value() : node.value);
    return values;
}

class Preparation {
public:
    Preparation(nn::Model& model, const data::Dataset& images, const QuantizeOptions& options)
        : model_(model), images_(images), options_(options) {
        check(images.size() > 0, "quantization: expected calibration images, got none");
        check(options.batch >= 1, "quantization: expected a batch of at least 1 image, got ", options.batch);
        for (int bits : {options.weight_bits, options.activation_bits, options.end_bits}) integer_range(bits, true);
        for (const auto& [name, bits] : options.layers) integer_range(bits, true), model.named_parameters(name);
        const PathScope scope(model.architecture());
        graph_ = fold_norms(model.net(), model.example(1));
        if (options.equalize) report_.equalized = compress::equalize(graph_);
        edges_ = stored_edges(graph_);
        net_ = with_masks(graph_, model.net());
        net_->eval();
        weights_ = values_of_weights(graph_, *net_);
    }

    Quantized run() {
        observe();
        for (int group = 0; group < group_count(edges_); ++group) choose(group);
        auto net = with_masks(with_quantizers(), model_.net());
        quantize_weights(*net);
        if (options_.correct_bias) report_.corrected = compress::correct_bias(graph_, weights_, *net, sample());
        report_.images = images_.size();
        auto model = std::make_unique<nn::Model>(model_.architecture(), model_.options(), std::move(net));
        model->class_names = model_.class_names;
        model->scaling = model_.scaling;
        model->metadata = model_.metadata;
        return {std::move(model), std::move(report_)};
    }

private:
    void observe() {
        observed_.resize(static_cast<size_t>(group_count(edges_)));
        std::map<int, int> group_of;
        for (const Edge& edge : edges_) group_of[edge.node] = edge.group;
        for (const auto see : {&Observed::see_ends, &Observed::see_values})
            for_each_batch(images_, options_.batch, [&](const Tensor& x) {
                see_activations(graph_, weights_, x, [&](int node, const Tensor& value) {
                    const auto found = group_of.find(node);
                    const PathScope scope(graph_[node].path);
                    if (found != group_of.end()) (observed_[static_cast<size_t>(found->second)].*see)(value);
                    return Tensor{};
                });
            });
    }

    // As many images as work on single layers looks at.
    Tensor sample() const {
        constexpr int64_t kImages = 128;
        Tensor x;
        for_each_batch(images_.take(0, std::min(images_.size(), kImages)), kImages,
                       [&](const Tensor& batch) { x = batch; });
        return x;
    }

    bool has(int group, int node) const {
        return std::any_of(edges_.begin(), edges_.end(),
                           [&](const Edge& edge) { return edge.group == group && edge.node == node; });
    }

    // The range and grid of a group.
    void choose(int group) {
        const Observed& seen = observed_[static_cast<size_t>(group)];
        const bool at_end = has(group, graph_.input()) || has(group, graph_.output);
        const int bits = at_end ? std::max(options_.end_bits, options_.activation_bits) : options_.activation_bits;
        const Observer observer =
            options_.observer == Observer::automatic ? best_observer(group, bits) : options_.observer;
        const Range range = seen.range(observer, bits);
        grids_.push_back(asymmetric(range, bits));
        QuantizeReport::Activation line{.name = {}, .places = 0, .bits = bits, .range = range,
                                        .zero_point = static_cast<int64_t>(grids_.back().zero_point.item()),
                                        .observer = observer, .snr = seen.error(range, bits).snr()};
        for (const Edge& edge : edges_)
            if (edge.group == group && line.places++ == 0) line.name = edge.name;
        report_.activations.push_back(line);
    }

    // The one with which the network's output moves least, the places before being quantized as chosen.
    Observer best_observer(int group, int bits) {
        if (!kept_)
            for_each_batch(images_.take(0, std::min(images_.size(), kImagesOfAutomatic)), kImagesOfAutomatic,
                           [&](const Tensor& x) {
                               kept_ = std::make_unique<Activations>(graph_, weights_, x);
                               float_output_ = kept_->output();
                           });
        const auto with = [&](Observer observer) -> Change {
            const Grid grid = asymmetric(observed_[static_cast<size_t>(group)].range(observer, bits), bits);
            return [this, group, grid](int node, const Tensor& value) {
                return has(group, node) ? dequantize(quantize(value, grid), grid) : Tensor{};
            };
        };
        Observer best = Observer::min_max;
        double least = INFINITY;
        for (Observer observer : plain_observers()) {
            const double error = mean_square_difference(kept_->output_with(with(observer)), float_output_);
            if (error < least) least = error, best = observer;
        }
        kept_->change(with(best));
        return best;
    }

    Graph with_quantizers() const {
        std::map<int, const Edge*> edge_at;
        for (const Edge& edge : edges_) edge_at[edge.node] = &edge;
        std::map<int, std::pair<int, int>> leaves;  // of groups: the nodes of scale and zero point
        Graph to;
        std::vector<int> raw, stored;  // where old nodes' values are, before and after their quantizers
        const auto append = [&](GraphNode node) {
            to.nodes.push_back(std::move(node));
            return to.size() - 1;
        };
        for (int i = 0; i < graph_.size(); ++i) {
            GraphNode node = graph_[i];
            for (size_t k = 0; k < node.inputs.size(); ++k) {
                const bool for_its_shape = node.op->fixed && k > 0;
                int& input = node.inputs[k];
                if (input >= 0) input = (for_its_shape ? raw : stored)[static_cast<size_t>(input)];
            }
            raw.push_back(append(std::move(node)));
            stored.push_back(raw.back());
            const auto found = edge_at.find(i);
            if (found == edge_at.end()) continue;
            const Edge& edge = *found->second;
            const Grid& grid = grids_[static_cast<size_t>(edge.group)];
            auto [leaf, is_new] = leaves.try_emplace(edge.group);
            if (is_new) {
                const Tensor zero = grid.zero_point.to(DType::f32);
                leaf->second = {append({.op = "parameter", .path = edge.name + ".edge_scale",
                                        .shape = grid.scale.shape(), .value = grid.scale}),
                                append({.op = "buffer", .path = edge.name + ".edge_zero_point", .shape = zero.shape(),
                                        .value = zero})};
            }
            stored.back() = append({.op = "fake_quantize", .path = graph_[i].path,
                                    .attributes = attributes_of(grid, graph_[i].shape),
                                    .inputs = {raw.back(), leaf->second.first, leaf->second.second},
                                    .shape = graph_[i].shape, .dtype = graph_[i].dtype, .activation = true});
        }
        for (int input : graph_.inputs) to.inputs.push_back(raw[static_cast<size_t>(input)]);
        to.output = stored[static_cast<size_t>(graph_.output)];
        check_pass(to);
        return to;
    }

    Attributes attributes_of(const Grid& grid, const Shape& shape) const {
        const auto [low, high] = grid.integers();
        const auto zero = static_cast<int64_t>(grid.zero_point.item());
        const bool pact = options_.rule == ops::ScaleRule::pact && zero == low;  // the bound is (high - low) scale
        const auto levels = static_cast<double>(high - low);
        return {{"bits", int64_t{grid.bits}},
                {"signed", int64_t{grid.is_signed}},
                {"axis", int64_t{-1}},
                {"rule", std::string(pact ? "pact" : "lsq")},
                {"scale_gradient", pact ? 1 / (levels * levels)
                                        : lsq_gradient(shape.numel() / std::max<int64_t>(1, shape[0]),
                                                       std::max(high - zero, zero - low))}};
    }

    void quantize_weights(nn::Module& net) {
        std::map<std::string, nn::Parameter*> parameters;
        for (const auto& [name, parameter] : net.named_parameters()) parameters[name] = parameter;
        std::vector<std::string> names;  // of layers' weights, in order of execution
        for (const GraphNode& node : graph_.nodes) {
            if (node.op->affine && node.activation) report_.in_float.push_back(node.path);
            if (!node.op->layer) continue;
            const GraphNode* weight = graph_.parameter(node, 1);
            if (!weight) report_.in_float.push_back(node.path);
            else if (std::find(names.begin(), names.end(), weight->path) == names.end()) names.push_back(weight->path);
        }
        for (const std::string& name : names) {
            nn::Parameter& parameter = *parameters.at(name);
            const PathScope scope(name);
            const bool at_end = name == names.front() || name == names.back();
            const int usual = at_end ? std::max(options_.end_bits, options_.weight_bits) : options_.weight_bits;
            const int bits = bits_of(name, usual);
            const Tensor value = parameter.effective().value();
            const int axis = options_.per_channel ? 0 : -1;
            const Grid grid = bits == 8 ? symmetric(value, bits, axis) : symmetric_least_error(value, bits, axis);
            set_fake_quantize(parameter, grid);
            const double noise = mean_square_difference(dequantize(quantize(value, grid), grid), value);
            report_.weights.push_back({name, bits, value.numel(), 10 * std::log10(mean_square(value) / noise)});
        }
    }

    int bits_of(const std::string& name, int usual) const {
        for (const auto& [pattern, bits] : options_.layers)
            for (const auto& [matched, parameter] : model_.named_parameters(pattern))
                if (matched == name) usual = bits;
        return usual;
    }

    nn::Model& model_;
    const data::Dataset& images_;
    const QuantizeOptions& options_;
    Graph graph_;  // folded, its weights dense
    std::vector<Edge> edges_;
    std::unique_ptr<nn::GraphModule> net_;  // of it
    std::vector<Tensor> weights_;           // as its layers see them
    std::vector<Observed> observed_;        // of groups
    std::vector<Grid> grids_;               // of groups
    std::unique_ptr<Activations> kept_;  // of a few images, for the automatic observer
    Tensor float_output_;
    QuantizeReport report_;
};

std::string decibels(double snr) { return std::isfinite(snr) ? format("%.1f", snr) : "exact"; }

}  // namespace

Quantized prepare_quantization(nn::Model& model, const data::Dataset& images, const QuantizeOptions& options) {
    return Preparation(model, images, options).run();
}

Grid grid_of(const Graph& graph, const GraphNode& node) {
    const GraphNode &scale = graph[node.inputs[1]], *zero = node.inputs[2] < 0 ? nullptr : &graph[node.inputs[2]];
    Tensor usable = scale.value.clone();
    float* s = usable.mutable_data<float>();
    for (int64_t k = 0; k < usable.numel(); ++k) s[k] = std::max(s[k], kLeastScale);
    return {.bits = static_cast<int>(node.attributes.integer("bits")),
            .is_signed = node.attributes.integer("signed") != 0,
            .axis = static_cast<int>(node.attributes.integer("axis")), .scale = usable,
            .zero_point = zero ? zero->value.to(DType::i32) : Tensor{}};
}

std::string QuantizeReport::str() const {
    TextTable of_weights({"weight", "elements", "bits", "SNR dB"});
    for (const Weight& weight : weights)
        of_weights.add({weight.name, with_commas(weight.elements), std::to_string(weight.bits), decibels(weight.snr)});
    TextTable of_activations({"activation", "places", "bits", "low", "high", "zero point", "observer", "SNR dB"});
    for (const Activation& a : activations)
        of_activations.add({a.name, std::to_string(a.places), std::to_string(a.bits), format("%.4g", a.range.low),
                            format("%.4g", a.range.high), std::to_string(a.zero_point), name_of(a.observer),
                            decibels(a.snr)});
    std::string text = of_weights.str() + "\n" + of_activations.str() + "calibrated on " + with_commas(images) +
                       (images == 1 ? " image\n" : " images\n");
    for (const std::string& name : in_float) text += "left in floating point: " + name + "\n";
    if (equalized) text += "\n" + equalized->str();
    if (corrected) text += "\n" + corrected->str();
    return text;
}

}  // namespace lathe::compress
