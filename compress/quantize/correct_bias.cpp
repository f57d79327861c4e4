#include "lathe/compress/quantize/correct_bias.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "lathe/compress/quantize/activations.h"
#include "lathe/core/text_table.h"

namespace lathe::compress {

namespace {

// Of each channel, the last axis.
struct Moments {
    std::vector<double> mean, deviation;

    explicit Moments(const Tensor& x) {
        const auto channels = static_cast<size_t>(x.dim(-1));
        const auto n = std::max(1.0, static_cast<double>(x.numel()) / static_cast<double>(channels));
        std::vector<double> squares(channels);
        mean.resize(channels);
        for (int64_t i = 0; i < x.numel(); ++i) {
            const double value = x.data<float>()[i];
            mean[static_cast<size_t>(i) % channels] += value / n;
            squares[static_cast<size_t>(i) % channels] += value * value / n;
        }
        for (size_t k = 0; k < channels; ++k)
            deviation.push_back(std::sqrt(std::max(0.0, squares[k] - mean[k] * mean[k])));
    }
};

// By the name of their weights, which tells layers of the two networks apart.
const std::string* layer_name(const Graph& graph, const GraphNode& node) {
    const GraphNode* weight = node.op->layer ? graph.parameter(node, 1) : nullptr;
    return weight ? &weight->path : nullptr;
}

// How far means are off, in deviations.
double distance(const Moments& from, const Moments& to) {
    double sum = 0;
    for (size_t k = 0; k < to.mean.size(); ++k)
        sum += std::abs(from.mean[k] - to.mean[k]) / std::max(to.deviation[k], 1e-12);
    return sum / static_cast<double>(std::max<size_t>(1, to.mean.size()));
}

}  // namespace

BiasReport correct_bias(const Graph& graph, const std::vector<Tensor>& weights, nn::GraphModule& quantized,
                        const Tensor& x) {
    std::map<std::string, Moments> wanted;
    see_activations(graph, weights, x, [&](int node, const Tensor& value) {
        if (const std::string* name = layer_name(graph, graph[node])) wanted.emplace(*name, value);
        return Tensor{};
    });

    const auto parameters = nn::by_name(quantized.named_parameters());
    const Graph now = nn::trace(quantized, x.rows(0, 1));
    BiasReport report;
    see_activations(now, leaf_values(now), x, [&](int i, const Tensor& value) {
        const GraphNode& node = now[i];
        const std::string* name = layer_name(now, node);
        const auto target = name ? wanted.find(*name) : wanted.end();
        if (target == wanted.end()) return Tensor{};
        const GraphNode* bias = now.parameter(node, 2);
        if (!bias) {
            report.without.push_back(*name);
            return Tensor{};
        }
        const Moments seen(value);
        Tensor moved = value.clone();
        float *b = parameters.at(bias->path)->mutable_value().mutable_data<float>(), *y = moved.mutable_data<float>();
        const auto channels = static_cast<int64_t>(seen.mean.size());
        std::vector<float> shift;
        for (size_t k = 0; k < seen.mean.size(); ++k)
            shift.push_back(static_cast<float>(target->second.mean[k] - seen.mean[k]));
        for (int64_t k = 0; k < channels; ++k) b[k] += shift[static_cast<size_t>(k)];
        for (int64_t j = 0; j < moved.numel(); ++j) y[j] += shift[static_cast<size_t>(j % channels)];
        ++report.layers;
        report.before += distance(seen, target->second);
        report.after += distance(Moments(moved), target->second);
        return moved;
    });
    if (report.layers > 0) report.before /= static_cast<double>(report.layers);
    if (report.layers > 0) report.after /= static_cast<double>(report.layers);
    return report;
}

std::string BiasReport::str() const {
    std::string text = format("biases of %lld layers corrected: the means of channels were off by %.4f of their "
                              "deviation, now by %.4f\n",
                              static_cast<long long>(layers), before, after);
    for (const std::string& name : without) text += "no bias to correct: " + name + "\n";
    return text;
}

}  // namespace lathe::compress
