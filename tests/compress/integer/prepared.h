#pragma once
#include <algorithm>
#include <cmath>

#include "lathe/core/graph/fold.h"
#include "lathe/core/ops/fake_quantize.h"
#include "lathe/nn/graph_module.h"

namespace lathe::testing {

// What a network makes of x, op by op.
inline std::vector<Tensor> values_of(const Graph& graph, const Tensor& x) {
    const NoGrad no_grad;
    std::vector<Tensor> values;
    for (const GraphNode& node : graph.nodes) {
        std::vector<Variable> inputs;
        for (int from : node.inputs) inputs.emplace_back(from < 0 ? Tensor{} : values[static_cast<size_t>(from)]);
        values.push_back(node.is_op() ? run_op(node.op, node.attributes, inputs).value()
                         : node.op == "input" ? x : node.value);
    }
    return values;
}

// The same in 64 bits, with weights and stored values exactly on their grids and ties as integers break them: what
// execution in integers should say to the last step, where values_of errs by the roundings of float32.
inline Tensor exact_output(const Graph& graph, const Tensor& x) {
    const NoGrad no_grad;
    std::vector<Tensor> values;
    for (const GraphNode& node : graph.nodes) {
        std::vector<Variable> inputs;
        for (int from : node.inputs) inputs.emplace_back(from < 0 ? Tensor{} : values[static_cast<size_t>(from)]);
        if (node.op == "input") {
            values.push_back(x);
        } else if (node.op == "fake_quantize") {
            const bool is_signed = node.attributes.integer("signed") != 0;
            const auto bits = static_cast<int>(node.attributes.integer("bits"));
            const double low = is_signed ? -std::ldexp(1, bits - 1) : 0, high = low + std::ldexp(1, bits) - 1;
            const double scale = inputs[1].value().at(0), zero = inputs[2].value().at(0);
            Tensor y(inputs[0].shape(), DType::f64);
            for (int64_t i = 0; i < y.numel(); ++i) {
                const double v = inputs[0].value().at(i);
                const double level = inputs[0].value().dtype() == DType::f32  // of the input, a float32 by a float32
                                         ? std::nearbyint(static_cast<float>(v) / static_cast<float>(scale))
                                         : std::floor(v / scale + 0.5);
                y.mutable_data<double>()[i] = scale * (std::clamp(level + zero, low, high) - zero);
            }
            values.push_back(y);
        } else if (node.is_op()) {
            values.push_back(run_op(node.op, node.attributes, inputs).value());
        } else if (node.value && node.lowered && node.lowered->integers) {
            const Lowered& w = *node.lowered;
            const int64_t row = node.value.numel() / node.value.dim(0);
            Tensor exact(node.value.shape(), DType::f64);
            for (int64_t i = 0; i < exact.numel(); ++i) {
                const double zero = w.zero_point ? w.zero_point.at(w.zero_point.numel() == 1 ? 0 : i / row) : 0;
                exact.mutable_data<double>()[i] =
                    (w.integers.at(i) - zero) * w.scale.at(w.scale.numel() == 1 ? 0 : i / row);
            }
            values.push_back(exact);
        } else {
            values.push_back(node.value ? node.value.to(DType::f64) : node.value);
        }
    }
    return values[static_cast<size_t>(graph.output)];
}

// Between a simulated output and an executed one of the same shape, in steps of the output.
inline double largest_difference(const Tensor& simulated, const Tensor& y, double step) {
    check(y.shape() == simulated.shape(), "expected an output ", simulated.shape(), ", got ", y.shape());
    double largest = 0;
    for (int64_t i = 0; i < y.numel(); ++i)
        largest = std::max(largest, std::fabs(y.at(i) - simulated.at(i)) / step);
    return largest;
}

// The graph with each norm's activation, where a layer has no place for it, as an op behind the norm.
inline Graph with_plain_norms(const Graph& graph) {
    Graph to{.nodes = {}, .inputs = {}};
    std::vector<int> at;
    for (GraphNode node : graph.nodes) {
        for (int& input : node.inputs) input = input < 0 ? -1 : at[static_cast<size_t>(input)];
        const bool norm = node.op->affine && node.attributes.text("activation") == "hard_swish";
        if (norm) node.attributes.set("activation", std::string("none"));
        if (node.op == "input") to.inputs.push_back(to.size());
        to.nodes.push_back(node);
        if (norm)
            to.nodes.push_back({.op = "hard_swish", .path = node.path, .inputs = {to.size() - 1}, .shape = node.shape,
                                .activation = true});
        at.push_back(to.size() - 1);
    }
    to.output = at[static_cast<size_t>(graph.output)];
    return to;
}

// A network prepared by the plainest rules, so that lowering can be tested by itself: weights symmetric with a scale
// for each output channel, every stored value between its least and its greatest on x.
class Preparation {
public:
    Preparation(nn::Module& net, const Tensor& x, int weight_bits = 8)
        : from_(fold(with_plain_norms(nn::trace(net, x.rows(0, 1))))),
          values_(values_of(from_, x)),
          weight_bits_(weight_bits) {}

    Graph run() {
        std::vector<int> at(from_.nodes.size());
        for (int i = 0; i < from_.size(); ++i) {
            GraphNode node = from_[i];
            for (int& input : node.inputs) input = input < 0 ? -1 : at[static_cast<size_t>(input)];
            for (int reader : from_.consumers(i))
                if (!node.activation && from_[reader].op->layer && from_[reader].inputs[1] == i) quantize_weight(node);
            at[static_cast<size_t>(i)] = append(node);
            const bool kept = node.op->traits.view;
            if (node.activation && !kept && node.op != "softmax")
                at[static_cast<size_t>(i)] = quantizer(i, at[static_cast<size_t>(i)]);
        }
        to_.output = at[static_cast<size_t>(from_.output)];
        for (int i = 0; i < to_.size(); ++i)
            if (to_[i].op == "input") to_.inputs = {i};
        return to_;
    }

private:
    int append(GraphNode node) {
        to_.nodes.push_back(std::move(node));
        return to_.size() - 1;
    }
    int constant(double value) {
        const Tensor tensor = Tensor::full({1}, value);
        return append({.op = "constant", .path = "grid", .shape = {1}, .value = tensor});
    }

    void quantize_weight(GraphNode& node) const {
        const double most = std::pow(2, weight_bits_ - 1) - 1;
        const Tensor w = node.value;
        const int64_t row = w.numel() / w.dim(0);
        auto lowered = std::make_shared<Lowered>();
        lowered->axis = 0;
        lowered->scale = Tensor({w.dim(0)});
        lowered->integers = Tensor(w.shape(), DType::i8);
        node.value = Tensor(w.shape());
        for (int64_t k = 0; k < w.dim(0); ++k) {
            float largest = 1e-6f;
            for (int64_t i = 0; i < row; ++i) largest = std::max(largest, std::fabs(w.data<float>()[k * row + i]));
            const auto scale = static_cast<float>(largest / most);
            lowered->scale.mutable_data<float>()[k] = scale;
            for (int64_t i = k * row; i < (k + 1) * row; ++i) {
                const float q = std::nearbyint(w.data<float>()[i] / scale);
                lowered->integers.mutable_data<int8_t>()[i] = static_cast<int8_t>(q);
                node.value.mutable_data<float>()[i] = q * scale;
            }
        }
        node.lowered = lowered;
    }

    // Whose range counts for a value: what joins or moves it shares one scale with it.
    int ranged(int i) const {
        for (int reader : from_.consumers(i))
            if (from_[reader].op == "concat") return ranged(reader);
        const std::string& op = from_[i].op.name();
        const bool keeps = op.ends_with("pool2d") || op == "global_avg_pool" || op == "slice" || op == "pad" ||
                           from_[i].op->traits.view;
        return keeps ? ranged(from_[i].inputs[0]) : i;
    }

    int quantizer(int i, int at) {
        const Tensor& x = values_[static_cast<size_t>(ranged(i))];
        double low = 0, high = 255 * kLeastScale;
        for (int64_t k = 0; k < x.numel(); ++k) low = std::min(low, x.at(k)), high = std::max(high, x.at(k));
        const bool is_signed = low < 0;
        const auto scale = static_cast<float>((high - low) / 255);
        const double zero = is_signed ? std::nearbyint(-128 - low / scale) : 0;
        const int s = constant(scale), z = constant(zero);
        return append({.op = "fake_quantize", .path = from_[i].path + ".grid",
                       .attributes = {{"bits", int64_t{8}}, {"signed", int64_t{is_signed}}, {"axis", int64_t{-1}},
                                      {"rule", std::string("lsq")}, {"scale_gradient", 1.0}},
                       .inputs = {at, s, z}, .shape = from_[i].shape, .activation = true});
    }

    Graph from_, to_;
    std::vector<Tensor> values_;
    int weight_bits_;
};

}  // namespace lathe::testing
