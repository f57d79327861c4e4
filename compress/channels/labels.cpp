#include "lathe/compress/channels/labels.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace lathe::compress {

namespace {

using Axes = std::vector<AxisLabels>;

constexpr const char* kFixedSource = "it meets the network's input or another axis of fixed size";

// Labels are merged as ops couple them (union-find): each set is named by its root, which holds the reason why it is
// fixed.
class Labeller {
public:
    explicit Labeller(const Graph& graph) : graph_(graph) {
        for (const GraphNode& node : graph.nodes) found_.nodes.emplace_back(node.shape.rank());
    }

    ChannelLabels run() {
        for (int i = 0; i < static_cast<int>(graph_.nodes.size()); ++i)
            if (node(i).is_op() && node(i).activation) follow(i);
        for (const AxisLabels& labels : axes(graph_.output)) fix(labels, "it is the network's output");
        label_transformed_weights();
        number();
        return std::move(found_);
    }

private:
    static size_t at(int index) { return static_cast<size_t>(index); }
    const GraphNode& node(int index) const { return graph_.nodes[at(index)]; }
    const Shape& shape(int index) const { return node(index).shape; }
    Axes& axes(int index) { return found_.nodes[at(index)]; }
    bool is_activation(int index) const { return index >= 0 && node(index).activation; }

    // --- sets of labels

    AxisLabels fresh(int64_t count) {
        AxisLabels labels(static_cast<size_t>(count));
        std::iota(labels.begin(), labels.end(), static_cast<int>(parent_.size()));
        for (int label : labels) parent_.push_back(label);
        found_.fixed.resize(parent_.size());
        return labels;
    }

    int root(int label) {
        while (parent_[at(label)] != label) label = parent_[at(label)] = parent_[at(parent_[at(label)])];
        return label;
    }

    void unite(int a, int b) {
        a = root(a), b = root(b);
        if (a == b) return;
        if (a > b) std::swap(a, b);
        parent_[at(b)] = a;
        if (found_.fixed[at(a)].empty()) found_.fixed[at(a)] = found_.fixed[at(b)];
    }

    void unite(const AxisLabels& a, const AxisLabels& b) {
        for (size_t i = 0; i < a.size(); ++i) unite(a[i], b[i]);
    }

    void fix(const AxisLabels& labels, const std::string& why) {
        for (int label : labels)
            if (std::string& reason = found_.fixed[at(root(label))]; reason.empty()) reason = why;
    }

    void fix_all(int index, const std::string& why) {
        for (const AxisLabels& labels : axes(index)) fix(labels, why);
    }

    // --- weights

    // The parameter or buffer behind a weight's transforms; the weight itself where they change its shape.
    int origin(int index) const {
        while (node(index).is_op() && !node(index).inputs.empty()) {
            const int from = node(index).inputs[0];
            if (from < 0 || is_activation(from) || !(shape(from) == shape(index))) break;
            index = from;
        }
        return index;
    }

    // The labels along an axis of a weight, made when first asked for.
    const AxisLabels& weight(int index, int axis, ChannelUse use) {
        const int from = origin(index);
        AxisLabels& labels = axes(from)[at(axis)];
        if (labels.empty()) {
            labels = fresh(shape(from)[axis]);
            const bool named = node(from).op == "parameter" || node(from).op == "buffer";
            if (!named) fix(labels, "it meets a value that is no parameter (" + node(from).op.name() + ")");
        }
        found_.uses.try_emplace({from, axis}, use);
        return labels;
    }

    // A weight's axis that stands for the channels `x`.
    void couple(const AxisLabels& x, int index, int axis, ChannelUse use) {
        if (index < 0) return;
        const AxisLabels& labels = weight(index, axis, use);
        if (x.empty()) fix(labels, kFixedSource);
        else unite(x, labels);
    }

    // --- ops

    std::string described(int index) const { return "'" + node(index).op.name() + "' at '" + node(index).path + "'"; }

    // Where only the last axis may carry channels.
    const AxisLabels& last_axis(int index) {
        Axes& all = axes(index);
        for (size_t axis = 0; axis + 1 < all.size(); ++axis)
            fix(all[axis], "a channel axis became one of pixels");
        return all.back();
    }

    void follow(int i) {
        switch (node(i).op->channels) {
            case ChannelRule::same: axes(i) = axes(node(i).inputs[0]); return;
            case ChannelRule::convolution: return conv2d(i);
            case ChannelRule::linear: return linear(i);
            case ChannelRule::matmul: return matmul(i);
            case ChannelRule::lookup: return embedding(i);
            case ChannelRule::norm: return norm(i);
            case ChannelRule::pool: return pool(i);
            case ChannelRule::elementwise: return elementwise(i);
            case ChannelRule::concat: return concat(i);
            case ChannelRule::slice: return slice(i);
            case ChannelRule::pad: return pad(i);
            case ChannelRule::pad_like: return pad_like(i);
            case ChannelRule::permute: return permute(i);
            case ChannelRule::reshape: return reshape(i);
            case ChannelRule::reduce: return reduce(i);
            case ChannelRule::unknown: break;
        }
        for (int input : node(i).inputs)
            if (input >= 0)
                fix_all(is_activation(input) ? input : origin(input),
                        "channels are not followed through " + described(i));
    }

    void conv2d(int i) {
        const int x = node(i).inputs[0], w = node(i).inputs[1];
        const AxisLabels& in = last_axis(x);
        const int64_t per_group = shape(w)[3], groups = shape(x)[3] / per_group;
        const auto out_per_group = static_cast<size_t>(shape(w)[0] / groups);
        const bool each_alone = groups > 1 && per_group == 1;
        const AxisLabels& out = weight(w, 0, each_alone ? ChannelUse::depthwise : ChannelUse::filter);
        couple(out, node(i).inputs[2], 0, ChannelUse::bias);
        if (groups == 1) {
            couple(in, w, 3, ChannelUse::reader);
        } else if (each_alone) {  // a channel goes with all that is made from it
            if (in.empty()) fix(out, kFixedSource);
            else for (size_t k = 0; k < out.size(); ++k) unite(in[k / out_per_group], out[k]);
        } else {  // every group loses the channel of the same place, so that all keep one size
            const AxisLabels& read = weight(w, 3, ChannelUse::reader);
            if (in.empty()) fix(read, kFixedSource);
            for (size_t c = 0; c < in.size(); ++c) unite(in[c], read[c % read.size()]);
            for (size_t k = 0; k < out.size(); ++k) unite(out[k], out[k % out_per_group]);
        }
        axes(i).back() = out;
    }

    void linear(int i) {
        const int x = node(i).inputs[0], w = node(i).inputs[1];
        couple(axes(x).back(), w, 1, ChannelUse::reader);
        const AxisLabels& out = weight(w, 0, ChannelUse::filter);
        couple(out, node(i).inputs[2], 0, ChannelUse::bias);
        axes(i) = axes(x);
        axes(i).back() = out;
    }

    void matmul(int i) {
        const int a = node(i).inputs[0], b = node(i).inputs[1];
        const int a_last = shape(a).rank() - 1, b_last = shape(b).rank() - 1;
        if (is_activation(a)) couple_product(axes(a)[at(a_last)], b, b_last - 1);
        else couple_product(axes(b)[at(b_last - 1)], a, a_last);
        elementwise_axes(i, shape(i).rank() - 2);
        Axes& out = axes(i);
        if (is_activation(a)) out[out.size() - 2] = axes(a)[at(a_last - 1)];
        if (is_activation(b)) out.back() = axes(b)[at(b_last)];
        else out.back() = weight(b, b_last, ChannelUse::filter);
    }

    // The axis that a matrix product sums over.
    void couple_product(const AxisLabels& labels, int other, int axis) {
        if (!is_activation(other)) return couple(labels, other, axis, ChannelUse::reader);
        const AxisLabels& theirs = axes(other)[at(axis)];
        if (labels.empty() || theirs.empty()) fix(labels, kFixedSource), fix(theirs, kFixedSource);
        else unite(labels, theirs);
    }

    void embedding(int i) { axes(i).back() = weight(node(i).inputs[1], 1, ChannelUse::filter); }

    void norm(int i) {
        const std::vector<int>& inputs = node(i).inputs;
        const AxisLabels& x = last_axis(inputs[0]);
        for (size_t k = 1; k < inputs.size(); ++k)
            couple(x, inputs[k], 0, k == 1 ? ChannelUse::scale : k == 2 ? ChannelUse::shift : ChannelUse::statistic);
        axes(i).back() = x;
    }

    void pool(int i) { axes(i).back() = last_axis(node(i).inputs[0]); }

    void elementwise(int i) { elementwise_axes(i, shape(i).rank()); }

    // Couples the operands' labels along the first `count` axes of the result, which are aligned at the last of them.
    void elementwise_axes(int i, int count) {
        for (int axis = 0; axis < count; ++axis) {
            std::vector<std::pair<int, int>> operands;  // (node, axis) of those that do not repeat along it
            for (int input : node(i).inputs) {
                const int own = axis - (shape(i).rank() - shape(input).rank());
                if (own >= 0 && shape(input)[own] == shape(i)[axis]) operands.emplace_back(input, own);
            }
            axes(i)[at(axis)] = met(operands);
        }
    }

    // The one set of labels of axes that meet element by element; none when no activation among them has any.
    AxisLabels met(const std::vector<std::pair<int, int>>& operands) {
        AxisLabels labels;
        bool fixed = false;
        for (const auto& [input, axis] : operands) {
            if (!is_activation(input)) continue;
            const AxisLabels& theirs = axes(input)[at(axis)];
            if (theirs.empty()) fixed = true;
            else if (labels.empty()) labels = theirs;
            else unite(labels, theirs);
        }
        if (labels.empty()) return labels;
        for (const auto& [input, axis] : operands)
            if (!is_activation(input)) couple(labels, input, axis, ChannelUse::other);
        if (fixed) fix(labels, kFixedSource);
        return labels;
    }

    void concat(int i) {
        const int along = shape(i).axis(static_cast<int>(node(i).attributes.integer("axis")));
        bool any = false;
        for (int axis = 0; axis < shape(i).rank(); ++axis) {
            std::vector<std::pair<int, int>> operands;
            for (int input : node(i).inputs) operands.emplace_back(input, axis);
            if (axis != along) axes(i)[at(axis)] = met(operands);
            else for (int input : node(i).inputs) any = any || (is_activation(input) && !axes(input)[at(axis)].empty());
        }
        if (!any) return;
        AxisLabels& joined = axes(i)[at(along)];
        for (int input : node(i).inputs) {
            AxisLabels part = is_activation(input) ? axes(input)[at(along)] : weight(input, along, ChannelUse::other);
            if (part.empty()) fix(part = fresh(shape(input)[along]), kFixedSource);
            joined.insert(joined.end(), part.begin(), part.end());
        }
    }

    // Equal parts stay equal when all lose the channel of the same place; other parts have a size of their own.
    void slice(int i) {
        const int x = node(i).inputs[0];
        const auto axis = at(shape(x).axis(static_cast<int>(node(i).attributes.integer("axis"))));
        const Attributes& a = node(i).attributes;
        const auto length = static_cast<size_t>(shape(i)[static_cast<int>(axis)]);
        const auto start =
            a.has("parts") ? static_cast<size_t>(a.integer("part")) * length : static_cast<size_t>(a.integer("start"));
        axes(i) = axes(x);
        AxisLabels& labels = axes(i)[axis];
        if (labels.empty()) return;
        if (a.has("parts"))
            for (size_t c = length; c < labels.size(); ++c) unite(labels[c], labels[c % length]);
        else
            fix(labels, described(i) + " takes a part of fixed size");
        labels = AxisLabels(labels.begin() + static_cast<int64_t>(start),
                            labels.begin() + static_cast<int64_t>(start + length));
    }

    void pad(int i) {
        const auto &before = node(i).attributes.integers("before"), &after = node(i).attributes.integers("after");
        axes(i) = axes(node(i).inputs[0]);
        for (size_t axis = 0; axis < axes(i).size(); ++axis) {
            AxisLabels& labels = axes(i)[axis];
            if (labels.empty() || before[axis] + after[axis] == 0) continue;
            const AxisLabels front = fresh(before[axis]), back = fresh(after[axis]);
            fix(front, described(i) + " adds a fixed number of channels");
            fix(back, described(i) + " adds a fixed number of channels");
            labels.insert(labels.begin(), front.begin(), front.end());
            labels.insert(labels.end(), back.begin(), back.end());
        }
    }

    // Zero channels in front and behind, as many as the second input has more than the first.
    void pad_like(int i) {
        const int x = node(i).inputs[0];
        const int64_t more = shape(i).back() - shape(x).back();
        axes(i) = axes(x);
        AxisLabels& labels = axes(i).back();
        if (labels.empty()) labels = fresh(shape(x).back()), fix(labels, kFixedSource);
        const AxisLabels front = fresh(more / 2), back = fresh(more - more / 2);
        found_.centred.push_back({node(i).path, front, back});
        labels.insert(labels.begin(), front.begin(), front.end());
        labels.insert(labels.end(), back.begin(), back.end());
    }

    void permute(int i) {
        const auto& order = node(i).attributes.integers("axes");
        for (size_t axis = 0; axis < order.size(); ++axis)
            axes(i)[axis] = axes(node(i).inputs[0])[at(shape(i).axis(static_cast<int>(order[axis])))];
    }

    // Runs of axes with the same number of elements on both sides correspond; axes of extent 1 are passed over.
    void reshape(int i) {
        const int x = node(i).inputs[0];
        const Shape &from = shape(x), &to = shape(i);
        int a = 0, b = 0;
        for (;;) {
            for (; a < from.rank() && from[a] == 1; ++a) fix(axes(x)[at(a)], "a single channel is reshaped");
            for (; b < to.rank() && to[b] == 1; ++b) {}
            if (a == from.rank() || b == to.rank()) return;
            const int a_first = a, b_first = b;
            int64_t p = from[a++], q = to[b++];
            while (p != q) p < q ? p *= from[a++] : q *= to[b++];
            reshape_run(i, a_first, a, b_first, b);
        }
    }

    void reshape_run(int i, int a_first, int a_end, int b_first, int b_end) {
        const int x = node(i).inputs[0];
        int labelled = 0, axis = 0;
        for (int a = a_first; a < a_end; ++a)
            if (!axes(x)[at(a)].empty()) ++labelled, axis = a;
        if (labelled == 0) return;
        if (labelled > 1 || b_end - b_first > 1) {
            for (int a = a_first; a < a_end; ++a) fix(axes(x)[at(a)], described(i) + " splits or mixes channels");
            return;
        }
        int64_t inner = 1;  // neighbouring elements that belong to one channel
        for (int a = axis + 1; a < a_end; ++a) inner *= shape(x)[a];
        const AxisLabels& labels = axes(x)[at(axis)];
        AxisLabels& merged = axes(i)[at(b_first)];
        for (int64_t k = 0; k < shape(i)[b_first]; ++k)
            merged.push_back(labels[static_cast<size_t>(k / inner) % labels.size()]);
    }

    void reduce(int i) {
        const int x = node(i).inputs[0];
        if (!node(i).attributes.has("axis")) return fix_all(x, described(i) + " mixes all elements");
        const int along = shape(x).axis(static_cast<int>(node(i).attributes.integer("axis")));
        fix(axes(x)[at(along)], described(i) + " mixes channels");
        const bool kept = shape(i).rank() == shape(x).rank();
        for (int axis = 0; axis < shape(x).rank(); ++axis)
            if (axis != along) axes(i)[at(axis - (!kept && axis > along))] = axes(x)[at(axis)];
    }

    // --- the end

    void label_transformed_weights() {
        for (int i = 0; i < static_cast<int>(graph_.nodes.size()); ++i)
            if (node(i).is_op() && !node(i).activation) axes(i) = axes(origin(i));
    }

    // Replaces the labels by the numbers of their sets.
    void number() {
        std::vector<int> numbers(parent_.size(), -1);
        std::vector<std::string> fixed;
        const auto renumber = [&](AxisLabels& labels) {
            for (int& label : labels) {
                const int from = root(label);
                int& number = numbers[at(from)];
                if (number < 0) {
                    number = static_cast<int>(fixed.size());
                    fixed.push_back(found_.fixed[at(from)]);
                }
                label = number;
            }
        };
        for (Axes& all : found_.nodes)
            for (AxisLabels& labels : all) renumber(labels);
        for (auto& [path, front, back] : found_.centred) renumber(front), renumber(back);
        found_.fixed = std::move(fixed);
    }

    const Graph& graph_;
    ChannelLabels found_;
    std::vector<int> parent_;
};

}  // namespace

ChannelLabels label_channels(const Graph& graph) { return Labeller(graph).run(); }

}  // namespace lathe::compress
