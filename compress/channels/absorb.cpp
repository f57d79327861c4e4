#include "lathe/compress/channels/absorb.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "lathe/core/graph/cost.h"
#include "lathe/core/ops/activation.h"

namespace lathe::compress {

namespace {

// Along the last axis of an activation: the value that each index always has, or NaN.
using Constants = std::vector<double>;

constexpr double kVaries = std::numeric_limits<double>::quiet_NaN();

std::vector<double> to_doubles(const Tensor& tensor) {
    std::vector<double> values(static_cast<size_t>(tensor.numel()));
    with_float(tensor, [&](auto zero) {
        const auto* from = tensor.data<decltype(zero)>();
        std::copy_n(from, values.size(), values.begin());
    });
    return values;
}

Constants activated(const Constants& x, Activation activation) {
    const auto count = static_cast<int64_t>(x.size());
    Tensor values({count}, DType::f64);
    for (size_t i = 0; i < x.size(); ++i) values.mutable_data<double>()[i] = std::isnan(x[i]) ? 0 : x[i];
    const NoGrad no_grad;
    const Tensor y = ops::activation(values, activation).value();
    Constants result(x.size());
    for (size_t i = 0; i < x.size(); ++i) result[i] = std::isnan(x[i]) ? kVaries : y.data<double>()[i];
    return result;
}

bool is_padded(const GraphNode& node) {
    if (!node.attributes.has("padding")) return false;
    const auto& padding = node.attributes.integers("padding");
    return std::any_of(padding.begin(), padding.end(), [](int64_t pixels) { return pixels != 0; });
}

class Absorber {
public:
    explicit Absorber(const ChannelGroups& groups)
        : groups_(groups), graph_(groups.graph()), constants_(graph_.nodes.size()) {
        for (const ChannelGroup& group : groups.groups())
            for (const ChannelMember& member : group.members) members_[member.name] = &member;
        for (size_t i = 0; i < graph_.nodes.size(); ++i)
            if (graph_.nodes[i].activation) constants_[i] = follow(graph_.nodes[i]);
    }

    std::vector<Absorption> run(const ChannelChoice& choice, bool at_borders) {
        std::vector<Absorption> found;
        for (size_t i = 0; i < graph_.nodes.size(); ++i) {
            const GraphNode& node = graph_.nodes[i];
            if (!node.op->layer) continue;
            Absorption absorption{.layer = node.path};
            const std::vector<double> share = share_of_cut(node, choice, absorption.channels);
            if (absorption.channels == 0) continue;
            const bool wanted = at_borders || !is_padded(node);
            if (!wanted || !give(static_cast<int>(i), share)) absorption.how = Absorption::How::lost;
            else if (is_padded(node)) absorption.how = Absorption::How::interior;
            found.push_back(absorption);
        }
        return found;
    }

private:
    // A weight or buffer as the op uses it; empty when it has none.
    std::vector<double> values(const GraphNode& node, size_t input) const {
        const int from = input < node.inputs.size() ? node.inputs[input] : -1;
        const Tensor value = from >= 0 ? graph_.nodes[static_cast<size_t>(from)].value : Tensor{};
        return value ? to_doubles(value) : std::vector<double>{};
    }

    const Constants& input(const GraphNode& node, size_t k = 0) const {
        return constants_[static_cast<size_t>(node.inputs[k])];
    }

    Constants follow(const GraphNode& node) const {
        const Constants varies(node.shape.rank() ? static_cast<size_t>(node.shape.back()) : 1, kVaries);
        if (node.op->activation != Activation::none) return activated(input(node), node.op->activation);
        switch (node.op->channels) {
            case ChannelRule::convolution:
            case ChannelRule::linear: return filtered(node);
            case ChannelRule::norm: return node.op->affine ? normalised(node) : varies;
            // Averages count the zeros of a border, maxima do not.
            case ChannelRule::pool:
                return is_padded(node) && node.attributes.has("count_include_pad") ? only_zeros(input(node))
                                                                                   : input(node);
            case ChannelRule::elementwise: return combined(node);
            case ChannelRule::concat: return axis_of(node) == node.shape.rank() - 1 ? joined(node) : varies;
            case ChannelRule::reshape: return repeated(node);
            default: return varies;
        }
    }

    static int axis_of(const GraphNode& node) {
        return node.shape.axis(static_cast<int>(node.attributes.integer("axis")));
    }

    static Constants only_zeros(Constants x) {
        for (double& value : x)
            if (value != 0) value = kVaries;
        return x;
    }

    // A filter of zeros gives its bias; a depthwise one makes a constant of a constant, but for the border.
    Constants filtered(const GraphNode& node) const {
        const std::vector<double> weight = values(node, 1), bias = values(node, 2);
        const auto out = static_cast<size_t>(node.shape.back()), each = out ? weight.size() / out : 0;
        const kernels::Conv2dShape layer = conv2d_shape(graph_, node);
        const bool depthwise = layer.groups > 1 && layer.groups == layer.in_c;
        Constants result(out, kVaries);
        for (size_t k = 0; k < out && !weight.empty(); ++k) {
            const auto first = weight.begin() + static_cast<int64_t>(k * each),
                       last = first + static_cast<int64_t>(each);
            const double offset = bias.empty() ? 0 : bias[k];
            if (std::all_of(first, last, [](double w) { return w == 0; })) {
                result[k] = offset;
            } else if (depthwise) {
                const double x = input(node)[k * input(node).size() / out];
                double sum = 0;
                for (auto w = first; w != last; ++w) sum += *w;
                if (x == 0 || !is_padded(node)) result[k] = x * sum + offset;
            }
        }
        return result;
    }

    Constants normalised(const GraphNode& node) const {
        std::vector<Tensor> tensors;
        for (const int from : node.inputs)
            tensors.push_back(from >= 0 ? graph_.nodes[static_cast<size_t>(from)].value : Tensor{});
        if (values(node, 1).empty() || values(node, 3).empty()) return Constants(input(node).size(), kVaries);
        const OpInfo::Affine by = node.op->affine(node.attributes, tensors);
        Constants y = input(node);
        for (size_t c = 0; c < y.size(); ++c) y[c] = (by.scale[c] == 0 ? 0 : y[c] * by.scale[c]) + by.shift[c];
        return activated(y, by.activation);
    }

    // What the op makes of two constants; zero times anything is zero.
    Constants combined(const GraphNode& node) const {
        Constants y(static_cast<size_t>(node.shape.back()), kVaries);
        const Constants &a = input(node, 0), &b = input(node, 1);
        if (a.size() != y.size() || b.size() != y.size()) return y;
        const auto known = [](const Constants& x) {
            Tensor values({static_cast<int64_t>(x.size())}, DType::f64);
            for (size_t c = 0; c < x.size(); ++c) values.mutable_data<double>()[c] = std::isnan(x[c]) ? 1 : x[c];
            return values;
        };
        const NoGrad no_grad;
        const std::vector<Variable> inputs{known(a), known(b)};
        const Tensor result = node.op->run(node.attributes, inputs, Mode::evaluation).value();
        for (size_t c = 0; c < y.size(); ++c) {
            const bool both = !std::isnan(a[c]) && !std::isnan(b[c]);
            const bool vanishes = node.op->traits.keeps_zero && (a[c] == 0 || b[c] == 0);
            if (both || vanishes) y[c] = result.data<double>()[c];
        }
        return y;
    }

    Constants joined(const GraphNode& node) const {
        Constants y;
        for (int from : node.inputs) {
            const auto extent = static_cast<size_t>(graph_.nodes[static_cast<size_t>(from)].shape.back());
            Constants part = constants_[static_cast<size_t>(from)];
            part.resize(extent, kVaries);
            y.insert(y.end(), part.begin(), part.end());
        }
        return y;
    }

    // The last axis stays as it is or takes in pixels in front of it.
    Constants repeated(const GraphNode& node) const {
        const Constants& x = input(node);
        Constants y(static_cast<size_t>(node.shape.back()), kVaries);
        if (!x.empty() && y.size() % x.size() == 0)
            for (size_t k = 0; k < y.size(); ++k) y[k] = x[k % x.size()];
        return y;
    }

    // What the constants that are cut add to each output of the layer, and how many channels it reads of them.
    std::vector<double> share_of_cut(const GraphNode& node, const ChannelChoice& choice, int64_t& channels) const {
        const GraphNode* named = graph_.parameter(node, 1);
        const std::vector<double> weight = named ? values(node, 1) : std::vector<double>{};
        if (weight.empty()) return {};
        const Constants& x = input(node);
        const auto out = static_cast<size_t>(node.shape.back()), in = static_cast<size_t>(named->shape.back());
        const size_t each = weight.size() / out, out_per_group = out / (x.size() / in);
        std::vector<double> share(out, 0);
        for (size_t g = 0; g < choice.size(); ++g)
            for (const ChannelMember& member : groups_.groups()[g].members) {
                if (member.name != named->path || member.use != ChannelUse::reader) continue;
                for (int64_t c = 0; c < groups_.groups()[g].channels; ++c) {
                    if (std::find(choice[g].begin(), choice[g].end(), c) != choice[g].end()) continue;
                    bool constant = false;
                    for (int64_t index : member.indices[static_cast<size_t>(c)])
                        for (size_t k = 0; k < out; ++k) {
                            const double value = x[k / out_per_group * in + static_cast<size_t>(index)];
                            if (std::isnan(value) || value == 0) continue;
                            constant = true;
                            for (auto tap = static_cast<size_t>(index); tap < each; tap += in)
                                share[k] += value * weight[k * each + tap];
                        }
                    channels += constant;
                }
            }
        return share;
    }

    bool give(int index, const std::vector<double>& share) const {
        const GraphNode& node = graph_.nodes[static_cast<size_t>(index)];
        const auto add = [&](Tensor to, double sign) {
            with_float(to, [&](auto zero) {
                auto* values = to.mutable_data<decltype(zero)>();
                for (size_t k = 0; k < share.size(); ++k) values[k] += static_cast<decltype(zero)>(sign * share[k]);
            });
            return true;
        };
        const auto same_weight = [&](const GraphNode& other) {
            return other.op == node.op && graph_.parameter(other, 1) == graph_.parameter(node, 1);
        };
        if (std::count_if(graph_.nodes.begin(), graph_.nodes.end(), same_weight) != 1) return false;
        if (const GraphNode* bias = graph_.parameter(node, 2)) {
            nn::Parameter& parameter = *members_.at(bias->path)->parameter;
            return parameter.transforms().empty() && add(parameter.mutable_value(), 1);
        }
        const std::vector<int> readers = graph_.consumers(index);
        if (readers.size() != 1 || !graph_[readers[0]].op->affine) return false;
        const GraphNode& mean =
            graph_.nodes[static_cast<size_t>(graph_.nodes[static_cast<size_t>(readers[0])].inputs[3])];
        const auto member = members_.find(mean.path);
        return member != members_.end() && member->second->buffer && add(*member->second->buffer, -1);
    }

    const ChannelGroups& groups_;
    const Graph& graph_;
    std::map<std::string, const ChannelMember*> members_;
    std::vector<Constants> constants_;  // by node
};

}  // namespace

std::vector<Absorption> absorb_constants(const ChannelGroups& groups, const ChannelChoice& choice, bool at_borders) {
    return Absorber(groups).run(choice, at_borders);
}

}  // namespace lathe::compress
