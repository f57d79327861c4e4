#include "lathe/compress/quantize/equalize.h"

#include <algorithm>
#include <cmath>

#include "lathe/core/graph/cost.h"
#include "lathe/core/text_table.h"

namespace lathe::compress {

namespace {

// Two layers between which channels can be scaled, and each relu6 between them: their nodes.
struct Pair {
    int first, second;
    std::vector<int> relu6;
};

class Equalizer {
public:
    Equalizer(Graph& graph, const Reach& reach)
        : graph_(graph), reach_(reach), readers_(graph.reader_counts()) {
        for (int i = 0; i < graph_.size(); ++i)
            if (graph_[i].op->layer) find_second(i);
    }

    EqualizeReport run() {
        constexpr int kRounds = 20;
        constexpr double kMoved = 1e-3;
        EqualizeReport report;
        for (const Pair& pair : pairs_)
            report.pairs.push_back({weight(pair.first).path, weight(pair.second).path, spread(pair), 0});
        for (const Pair& pair : pairs_)
            for (int node : pair.relu6)
                for (double reach : reach_.at(node)) ++report.channels, report.held += reach >= kMost;
        for (int round = 0; round < kRounds; ++round) {
            double moved = 0;
            for (const Pair& pair : pairs_) moved = std::max(moved, equalize(pair));
            if (moved < kMoved) break;
        }
        for (size_t i = 0; i < pairs_.size(); ++i) report.pairs[i].after = spread(pairs_[i]);
        report.scaled = std::move(scaled_);
        return report;
    }

private:
    GraphNode& weight(int layer) { return graph_[graph_[layer].inputs[1]]; }
    GraphNode* bias(int layer) {
        const std::vector<int>& inputs = graph_[layer].inputs;
        return inputs.size() > 2 && inputs[2] >= 0 ? &graph_[inputs[2]] : nullptr;
    }

    bool is_own(int node) const {
        return graph_[node].op == "parameter" && readers_[static_cast<size_t>(node)] == 1;
    }
    bool has_own_weights(int layer) const {
        const std::vector<int>& inputs = graph_[layer].inputs;
        return is_own(inputs[1]) && (inputs.size() < 3 || inputs[2] < 0 || is_own(inputs[2]));
    }
    bool is_depthwise(int layer) const {
        const kernels::Conv2dShape shape = conv2d_shape(graph_, graph_[layer]);
        return shape.groups > 1 && shape.groups == shape.in_c && shape.in_c == shape.out_c;
    }

    // The layer that alone reads what this one makes, through a relu, a relu6 or nothing.
    void find_second(int first) {
        int value = first;
        std::vector<int> relu6;
        for (;;) {
            const std::vector<int> readers = graph_.consumers(value);
            if (readers.size() != 1 || readers_[static_cast<size_t>(value)] != 1) return;
            const GraphNode& reader = graph_[readers[0]];
            if (reader.op->layer) {
                const kernels::Conv2dShape shape = conv2d_shape(graph_, reader);
                const bool plain = shape.groups == 1 && shape.in_c == conv2d_shape(graph_, graph_[first]).out_c;
                if (reader.inputs[0] == value && has_own_weights(first) && has_own_weights(readers[0]) &&
                    (plain || is_depthwise(readers[0])))
                    pairs_.push_back({first, readers[0], relu6});
                return;
            }
            const Activation activation = reader.op->activation;
            if (activation == Activation::relu6 && reach_.contains(readers[0])) relu6.push_back(readers[0]);
            else if (activation != Activation::relu && !is_pool(*reader.op)) return;
            value = readers[0];
        }
    }

    // Means and maxima of s x are s times those of x.
    static bool is_pool(const OpInfo& op) { return op.channels == ChannelRule::pool; }

    // f(channel, element) for the elements of a weight by output channel, or by the input channel that they read.
    template <class F>
    void for_elements(int layer, bool inputs, F f) {
        const GraphNode& node = weight(layer);
        float* w = graph_[graph_[layer].inputs[1]].value.mutable_data<float>();
        const int64_t channels = inputs && !is_depthwise(layer) ? node.shape.back() : node.shape[0];
        const int64_t row = node.value.numel() / std::max<int64_t>(1, node.shape[0]);
        for (int64_t i = 0; i < node.value.numel(); ++i)
            f(inputs && !is_depthwise(layer) ? i % channels : i / row, w[i]);
    }

    std::vector<double> ranges(int layer, bool inputs) {
        std::vector<double> most(static_cast<size_t>(conv2d_shape(graph_, graph_[layer]).out_c));
        if (inputs) most.assign(static_cast<size_t>(conv2d_shape(graph_, graph_[layer]).in_c), 0);
        for_elements(layer, inputs, [&](int64_t channel, float w) {
            double& of = most[static_cast<size_t>(channel)];
            of = std::max(of, static_cast<double>(std::abs(w)));
        });
        return most;
    }

    double spread(const Pair& pair) {
        double least = INFINITY, most = 0;
        for (double range : ranges(pair.first, false))
            if (range > 0) least = std::min(least, range), most = std::max(most, range);
        return most > 0 ? most / least : 1;
    }

    // The factor nearest to s with which no relu6 clips channel k otherwise than before.
    double within(const Pair& pair, size_t k, double s) {
        for (int node : pair.relu6) {
            const double reach = reach_.at(node)[k];
            if (reach >= kMost) return 1;
            s = std::max(s, scaled_.at(weight(pair.first).path)[k] * reach / kMost);
        }
        return s;
    }

    // The largest factor's distance from 1. Channels without weights on either side stay as they are.
    double equalize(const Pair& pair) {
        const std::vector<double> first = ranges(pair.first, false), second = ranges(pair.second, true);
        std::vector<double>& scaled = scaled_[weight(pair.first).path];
        scaled.resize(first.size(), 1);
        std::vector<float> s(first.size(), 1);
        double moved = 0;
        for (size_t k = 0; k < s.size(); ++k)
            if (first[k] > 0 && second[k] > 0) {
                s[k] = static_cast<float>(within(pair, k, std::sqrt(first[k] / second[k])));
                scaled[k] /= s[k];
                moved = std::max(moved, std::abs(static_cast<double>(s[k]) - 1));
            }
        for_elements(pair.first, false, [&](int64_t channel, float& w) { w /= s[static_cast<size_t>(channel)]; });
        if (GraphNode* b = bias(pair.first)) {
            float* values = b->value.mutable_data<float>();
            for (size_t k = 0; k < s.size(); ++k) values[k] /= s[k];
        }
        for_elements(pair.second, true, [&](int64_t channel, float& w) { w *= s[static_cast<size_t>(channel)]; });
        return moved;
    }

    static constexpr double kMost = 6;  // of a relu6

    Graph& graph_;
    const Reach& reach_;
    std::vector<int> readers_;
    std::vector<Pair> pairs_;
    std::map<std::string, std::vector<double>> scaled_;
};

}  // namespace

EqualizeReport equalize(Graph& graph, const Reach& reach) {
    for (GraphNode& node : graph.nodes)  // others may hold the same tensors
        if (node.op == "parameter") node.value = node.value.clone();
    return Equalizer(graph, reach).run();
}

std::string EqualizeReport::str() const {
    if (pairs.empty())
        return "no two layers to equalise: none passes its channels to another through a relu or relu6 alone\n";
    TextTable table({"equalised", "with", "spread before", "after"});
    for (const Pair& pair : pairs)
        table.add({pair.first, pair.second, format("%.1f", pair.before), format("%.1f", pair.after)});
    std::string text = table.str();
    if (channels > 0)
        text += concatenated(channels, " channels pass a relu6, ", held, " reach 6 and stay; ",
                             std::isfinite(same) ? format("the output keeps %.1f dB", same) : "the output is the same",
                             " on calibration images\n");
    return text;
}

}  // namespace lathe::compress
