#include "lathe/compress/quantize/adaround.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "lathe/compress/quantize/activations.h"
#include "lathe/compress/quantize/fake_quantize.h"
#include "lathe/core/ops/mse.h"
#include "lathe/core/random.h"
#include "lathe/core/text_table.h"
#include "lathe/optim/optimizer.h"

namespace lathe::compress {

namespace {

constexpr float kStretch = 1.2f, kOffset = 0.1f;

float sigmoid(float v) { return 1 / (1 + std::exp(-v)); }
float soft(float v) { return std::clamp(kStretch * sigmoid(v) - kOffset, 0.f, 1.f); }
// 0 where the clip holds it.
float soft_slope(float v) {
    const float s = sigmoid(v), h = kStretch * s - kOffset;
    return h > 0 && h < 1 ? kStretch * s * (1 - s) : 0;
}

// The weights of one layer between the integers below and above them.
class Rounding : public nn::Module {
public:
    Rounding(const Tensor& weight, const Grid& grid)
        : floor_(weight.shape()), part_(weight.shape()), steps_(weight.shape()), range_(grid.integers()) {
        Tensor start(weight.shape());
        const int64_t row = weight.numel() / std::max<int64_t>(1, grid.scale.numel());
        for (int64_t i = 0; i < weight.numel(); ++i) {
            const float step = grid.scale.data<float>()[i / row], at = weight.data<float>()[i] / step;
            const float part = at - std::floor(at);
            steps_.mutable_data<float>()[i] = step;
            floor_.mutable_data<float>()[i] = std::floor(at);
            part_.mutable_data<float>()[i] = part;
            start.mutable_data<float>()[i] = -std::log(kStretch / (part + kOffset) - 1);  // soft(start) = part
        }
        v_ = nn::Parameter(start);
        parameter("v", v_);
    }

    // scale * clamp(floor(w / scale) + h(v), low, high), on the tape.
    Variable weight() {
        const Variable v = v_.effective();
        Tensor y(floor_.shape());
        for (int64_t i = 0; i < y.numel(); ++i) y.mutable_data<float>()[i] = at(i, soft(v.value().data<float>()[i]));
        return record("soft_rounding", {&v}, std::move(y), [this, v = Saved(v)](Tensor dy) {
            Tensor dv(dy.shape());
            for (int64_t i = 0; i < dy.numel(); ++i)
                dv.mutable_data<float>()[i] = moves(i) ? dy.data<float>()[i] * steps_.data<float>()[i] *
                                                             soft_slope(v->data<float>()[i])
                                                       : 0;
            return Gradients{dv};
        });
    }

    // Adds the gradient of strength * sum of 1 - |2 h - 1|^beta.
    void regularize(double strength, double beta) {
        Tensor grad = v_.grad();
        for (int64_t i = 0; i < grad.numel(); ++i) {
            const float v = v_.value().data<float>()[i], from_middle = 2 * soft(v) - 1;
            const double slope = -beta * std::pow(std::abs(from_middle), beta - 1) * (from_middle < 0 ? -1 : 1) * 2;
            if (moves(i)) grad.mutable_data<float>()[i] += static_cast<float>(strength * slope * soft_slope(v));
        }
    }

    // Up or down for good; counts those that nearest rounding would send elsewhere.
    Tensor decided(int64_t& changed) const {
        Tensor y(floor_.shape());
        for (int64_t i = 0; i < y.numel(); ++i) {
            const bool up = moves(i) && soft(v_.value().data<float>()[i]) >= 0.5f;
            y.mutable_data<float>()[i] = at(i, up ? 1.f : 0.f);
            changed += moves(i) && up != (part_.data<float>()[i] >= 0.5f);
        }
        return y;
    }

private:
    Variable forward(const Variable& x) override { return x; }

    // What is an integer already stays one: masked weights are zero.
    bool moves(int64_t i) const { return part_.data<float>()[i] > 0; }
    float at(int64_t i, float h) const {
        const float level = floor_.data<float>()[i] + (moves(i) ? h : 0.f);
        return steps_.data<float>()[i] *
               std::clamp(level, static_cast<float>(range_.low), static_cast<float>(range_.high));
    }

    Tensor floor_, part_, steps_;
    IntegerRange range_;
    nn::Parameter v_;
};

// The value of one node in a run on x.
Tensor value_of(const Graph& graph, const std::vector<Tensor>& weights, const Tensor& x, int wanted) {
    Tensor found;
    see_activations(graph, weights, x, [&](int node, const Tensor& value) {
        if (node == wanted) found = value;
        return Tensor{};
    });
    return found;
}

// Finds the rounding of a layer that makes `target` of `x` best.
Tensor learn(const GraphNode& node, const Tensor& bias, const Tensor& weight, const Grid& grid, const Tensor& x,
             const Tensor& target, double nearest, const AdaRoundOptions& o, Random& random, int64_t& changed) {
    constexpr double kWarmUp = 0.2, kFirstBeta = 20, kLastBeta = 2;
    Rounding rounding(weight, grid);
    const auto adam = optim::adam({.lr = o.lr});
    const int64_t batch = std::min(o.batch, x.dim(0));
    // The error is told in shares of what rounding to the nearest makes of it, one for each weight: then a weight's
    // part in it weighs as much against the regulariser in every layer.
    const double shares = static_cast<double>(weight.numel()) / std::max(nearest, 1e-20);
    for (int64_t t = 0; t < o.iterations; ++t) {
        const int64_t begin = random.below(x.dim(0) - batch + 1);
        const std::vector<Variable> inputs{x.rows(begin, batch), rounding.weight(), bias ? Variable(bias) : Variable()};
        rounding.zero_grad();
        backward(ops::mse(node.op->run(node.attributes, inputs, Mode::evaluation), target.rows(begin, batch)),
                 Tensor::full({}, shares));
        const double done = static_cast<double>(t) / static_cast<double>(o.iterations);
        if (done >= kWarmUp) {
            const double way = (done - kWarmUp) / (1 - kWarmUp);
            const double beta = kLastBeta + (kFirstBeta - kLastBeta) * 0.5 * (1 + std::cos(way * M_PI));
            rounding.regularize(o.regularization, beta);
        }
        adam->step(rounding);
    }
    return rounding.decided(changed);
}

}  // namespace

AdaRoundReport adaround(const Graph& graph, const std::vector<Tensor>& weights, nn::GraphModule& quantized,
                        const Tensor& x, const AdaRoundOptions& o) {
    check(o.iterations >= 1 && o.batch >= 1, "adaround: expected at least 1 iteration and 1 image, got ", o.iterations,
          " and ", o.batch);
    std::map<std::string, int> float_layers;  // by their weights' names
    for (int i = 0; i < graph.size(); ++i)
        if (graph[i].op->layer)
            if (const GraphNode* weight = graph.parameter(graph[i], 1)) float_layers.emplace(weight->path, i);
    const auto parameters = nn::by_name(quantized.named_parameters());
    const Graph now = nn::trace(quantized, x.rows(0, 1));
    std::vector<Tensor> values = leaf_values(now);

    AdaRoundReport report;
    Random random(o.seed);
    int64_t done = 0;
    for (const GraphNode& node : now.nodes) {
        const GraphNode* weight = node.op->layer ? now.parameter(node, 1) : nullptr;
        const auto at = weight ? float_layers.find(weight->path) : float_layers.end();
        auto* quantizer = at == float_layers.end() ? nullptr
                                                   : parameters.at(weight->path)->find_transform<FakeQuantize>();
        if (!quantizer) continue;
        const Tensor target = value_of(graph, weights, x, at->second);
        const Tensor input = value_of(now, values, x, node.inputs[0]);
        const Tensor bias = node.inputs.size() > 2 && node.inputs[2] >= 0 ? values[static_cast<size_t>(node.inputs[2])]
                                                                          : Tensor{};
        const Tensor& dense = weights[static_cast<size_t>(graph[at->second].inputs[1])];
        Tensor& seen = values[static_cast<size_t>(node.inputs[1])];
        const auto error = [&] {
            const NoGrad no_grad;
            const std::vector<Variable> inputs{input, seen, bias ? Variable(bias) : Variable()};
            return mean_square_difference(node.op->run(node.attributes, inputs, Mode::evaluation).value(), target);
        };
        AdaRoundReport::Layer layer{.name = weight->path, .before = error(), .after = 0, .weights = dense.numel()};
        const Tensor rounded = learn(node, bias, dense, quantizer->grid(), input, target, layer.before, o, random,
                                     layer.changed);
        nn::Parameter& parameter = *parameters.at(weight->path);
        const Tensor before = parameter.value().clone(), nearest = seen;
        parameter.mutable_value().copy_(rounded);
        seen = parameter.effective().value();
        layer.after = error();
        if (layer.after > layer.before) {  // images were too few to learn from
            parameter.mutable_value().copy_(before);
            seen = nearest;
            layer.after = layer.before;
            layer.changed = 0;
        }
        report.layers.push_back(layer);
        if (o.go_on && !o.go_on(++done, static_cast<int64_t>(float_layers.size()))) break;
    }
    return report;
}

std::string AdaRoundReport::str() const {
    TextTable table({"rounding learned", "weights", "changed", "error before", "after"});
    for (const Layer& layer : layers)
        table.add({layer.name, with_commas(layer.weights), with_commas(layer.changed), format("%.3g", layer.before),
                   format("%.3g", layer.after)});
    return table.str();
}

}  // namespace lathe::compress
