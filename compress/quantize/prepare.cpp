#include "lathe/compress/quantize/prepare.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "lathe/compress/quantize/activations.h"
#include "lathe/compress/quantize/fake_quantize.h"
#include "lathe/compress/quantize/fold_norms.h"
#include "lathe/compress/quantize/simulate_norms.h"
#include "lathe/core/text_table.h"

namespace lathe::compress {

namespace {

constexpr int64_t kImagesOfAutomatic = 32;

class Preparation {
public:
    Preparation(nn::Model& model, const data::Dataset& images, const QuantizeOptions& options)
        : model_(model), options_(options) {
        for (int bits : {options.weight_bits, options.activation_bits, options.end_bits}) integer_range(bits, true);
        for (const auto& [name, bits] : options.layers) integer_range(bits, true), model.named_parameters(name);
        calibration_ = calibrate(model, images, options.equalize, options.batch);
        report_.images = images.size();
        report_.equalized = calibration_.equalized;
    }

    Quantized run() {
        for (int group = 0; group < calibration_.groups(); ++group) choose(group);
        auto net = with_masks(with_quantizers(), model_.net());
        quantize_weights(*net);
        const Tensor& sample = calibration_.sample;
        if (options_.adaround)
            report_.rounded = compress::adaround(graph_, calibration_.weights, *net, sample, *options_.adaround);
        if (options_.correct_bias)
            report_.corrected = compress::correct_bias(graph_, calibration_.weights, *net, sample);
        if (options_.norms == Norms::simulated)
            net = simulate_norms(*net, model_.net(), model_.example(1),
                                 report_.equalized ? report_.equalized->scaled : ChannelFactors{});
        return {with_network(model_, std::move(net)), std::move(report_)};
    }

private:
    // The range and grid of a group.
    void choose(int group) {
        const Observed& seen = calibration_.observed[static_cast<size_t>(group)];
        const int bits = activation_bits(options_, calibration_, group);
        const Observer observer =
            options_.observer == Observer::automatic ? best_observer(group, bits) : options_.observer;
        const Range range = seen.range(observer, bits);
        grids_.push_back(asymmetric(range, bits));
        QuantizeReport::Activation line{.name = {}, .places = 0, .bits = bits, .range = range,
                                        .zero_point = static_cast<int64_t>(grids_.back().zero_point.item()),
                                        .observer = observer, .snr = seen.error(range, bits).snr()};
        for (const Edge& edge : calibration_.edges)
            if (edge.group == group && line.places++ == 0) line.name = edge.name;
        report_.activations.push_back(line);
    }

    // The one with which the network's output moves least, the places before being quantized as chosen.
    Observer best_observer(int group, int bits) {
        if (!kept_) {
            const Tensor& x = calibration_.sample;
            kept_ = std::make_unique<Activations>(graph_, calibration_.weights,
                                                  x.rows(0, std::min(x.dim(0), kImagesOfAutomatic)));
            float_output_ = kept_->output();
        }
        const auto with = [&](Observer observer) -> Change {
            const Grid grid = asymmetric(calibration_.observed[static_cast<size_t>(group)].range(observer, bits), bits);
            return [this, group, grid](int node, const Tensor& value) {
                return calibration_.in_group(group, node) ? on_grid(value, grid) : Tensor{};
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
        for (const Edge& edge : calibration_.edges) edge_at[edge.node] = &edge;
        std::map<int, std::pair<int, int>> leaves;  // of groups: the nodes of scale and zero point
        Graph to;
        std::vector<int> raw, stored;  // where old nodes' values are, before and after their quantizers
        const auto append = [&](GraphNode node) {
            to.nodes.push_back(std::move(node));
            return to.size() - 1;
        };
        for (int i = 0; i < graph_.size(); ++i) {
            GraphNode node = graph_[i];
            // Winograd's rounding takes more values across the middle between two steps than all else together.
            if (node.op == "conv2d") node.attributes.set("exact", int64_t{1});
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
        const auto parameters = nn::by_name(net.named_parameters());
        for (const GraphNode& node : graph_.nodes)
            if ((node.op->affine && node.activation) || (node.op->layer && !graph_.parameter(node, 1)))
                report_.in_float.push_back(node.path);
        for (int index : calibration_.layer_weights()) {
            const std::string& name = graph_[index].path;
            const PathScope scope(name);
            nn::Parameter& parameter = *parameters.at(name);
            const int bits = weight_bits(options_, calibration_, index, model_);
            const Tensor value = parameter.effective().value();
            const Grid grid = weight_grid(value, bits, options_.per_channel);
            set_fake_quantize(parameter, grid);
            const double noise = mean_square_difference(on_grid(value, grid), value);
            report_.weights.push_back({name, bits, value.numel(), decibels(mean_square(value), noise)});
        }
    }

    nn::Model& model_;
    const QuantizeOptions& options_;
    Calibration calibration_;
    const Graph& graph_ = calibration_.graph;
    std::vector<Grid> grids_;               // of groups
    std::unique_ptr<Activations> kept_;  // of a few images, for the automatic observer
    Tensor float_output_;
    QuantizeReport report_;
};

std::string text_of(double snr) { return std::isfinite(snr) ? format("%.1f", snr) : "exact"; }

}  // namespace

int activation_bits(const QuantizeOptions& o, const Calibration& calibration, int group) {
    return calibration.at_end(group) ? std::max(o.end_bits, o.activation_bits) : o.activation_bits;
}

int weight_bits(const QuantizeOptions& o, const Calibration& calibration, int node, nn::Module& model) {
    const std::vector<int> all = calibration.layer_weights();
    int bits = node == all.front() || node == all.back() ? std::max(o.end_bits, o.weight_bits) : o.weight_bits;
    for (const auto& [pattern, own] : o.layers)
        for (const auto& [matched, parameter] : model.named_parameters(pattern))
            if (matched == calibration.graph[node].path) bits = own;
    return bits;
}

Grid weight_grid(const Tensor& weight, int bits, bool per_channel) {
    const int axis = per_channel ? 0 : -1;
    return bits == 8 ? symmetric(weight, bits, axis) : symmetric_least_error(weight, bits, axis);
}

Quantized prepare_quantization(nn::Model& model, const data::Dataset& images, const QuantizeOptions& options) {
    return Preparation(model, images, options).run();
}

Grid grid_of(const Graph& graph, const GraphNode& node) {
    const GraphNode &scale = graph[node.inputs[1]], *zero = node.inputs[2] < 0 ? nullptr : &graph[node.inputs[2]];
    return {.bits = static_cast<int>(node.attributes.integer("bits")),
            .is_signed = node.attributes.integer("signed") != 0,
            .axis = static_cast<int>(node.attributes.integer("axis")), .scale = usable_scale(scale.value),
            .zero_point = zero ? zero->value.to(DType::i32) : Tensor{}};
}

std::string QuantizeReport::str() const {
    TextTable of_weights({"weight", "elements", "bits", "SNR dB"});
    for (const Weight& weight : weights)
        of_weights.add({weight.name, with_commas(weight.elements), std::to_string(weight.bits), text_of(weight.snr)});
    TextTable of_activations({"activation", "places", "bits", "low", "high", "zero point", "observer", "SNR dB"});
    for (const Activation& a : activations)
        of_activations.add({a.name, std::to_string(a.places), std::to_string(a.bits), format("%.4g", a.range.low),
                            format("%.4g", a.range.high), std::to_string(a.zero_point), name_of(a.observer),
                            text_of(a.snr)});
    std::string text = of_weights.str() + "\n" + of_activations.str() + "calibrated on " + with_commas(images) +
                       (images == 1 ? " image\n" : " images\n");
    for (const std::string& name : in_float) text += "left in floating point: " + name + "\n";
    if (equalized) text += '\n' + equalized->str();
    if (rounded) text += '\n' + rounded->str();
    if (corrected) text += '\n' + corrected->str();
    return text;
}

}  // namespace lathe::compress
