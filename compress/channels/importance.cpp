#include "lathe/compress/channels/importance.h"

#include <algorithm>
#include <cmath>

#include "lathe/compress/detail/gradients.h"
#include "lathe/core/enum_names.h"
#include "lathe/core/ops/linear.h"
#include "lathe/core/random.h"

namespace lathe::compress {

namespace {

constexpr EnumNames<ChannelImportance, 8> kImportanceNames{"channel importance", {
    {ChannelImportance::next_l2, "next-l2"},       {ChannelImportance::l1, "l1"},
    {ChannelImportance::l2, "l2"},                 {ChannelImportance::batch_norm, "batch-norm"},
    {ChannelImportance::geometric_median, "geometric-median"}, {ChannelImportance::taylor, "taylor"},
    {ChannelImportance::random, "random"},         {ChannelImportance::order, "order"},
}};

// Calls f(flat index) for every element of the slice `index` along `axis`.
template <class F>
void for_slice(const Shape& shape, int axis, int64_t index, F f) {
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < axis; ++i) outer *= shape[i];
    for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];
    for (int64_t o = 0; o < outer; ++o)
        for (int64_t i = 0; i < inner; ++i) f((o * shape[axis] + index) * inner + i);
}

Tensor effective_value(const ChannelMember& member) {
    const NoGrad no_grad;
    return member.parameter->effective().value();
}

// For every channel of a member, the sum of f(element) over what belongs to it.
template <class F>
std::vector<double> sums(const ChannelMember& member, const Tensor& value, F f) {
    std::vector<double> found;
    with_float(value, [&](auto zero) {
        const auto* elements = value.data<decltype(zero)>();
        for (const auto& indices : member.indices) {
            double total = 0;
            for (int64_t index : indices)
                for_slice(value.shape(), member.axis, index,
                          [&](int64_t i) { total += f(static_cast<double>(elements[i])); });
            found.push_back(total);
        }
    });
    return found;
}

std::vector<double> l1_norms(const ChannelMember& member) {
    return sums(member, effective_value(member), [](double w) { return std::abs(w); });
}

std::vector<double> l2_norms(const ChannelMember& member) {
    std::vector<double> norms = sums(member, effective_value(member), [](double w) { return w * w; });
    for (double& norm : norms) norm = std::sqrt(norm);
    return norms;
}

// Of each channel's filter, the sum of its distances to all filters: |a - b|^2 = a a + b b - 2 a b.
std::vector<double> distances(const ChannelMember& member) {
    const Tensor value = effective_value(member).to(DType::f32);
    const auto count = static_cast<int64_t>(member.indices.size()),
               each = static_cast<int64_t>(member.indices[0].size());
    Tensor filters({count, value.numel() / value.dim(member.axis) * each});
    float* to = filters.mutable_data<float>();
    for (const auto& indices : member.indices)
        for (int64_t index : indices)
            for_slice(value.shape(), member.axis, index, [&](int64_t i) { *to++ = value.data<float>()[i]; });
    const NoGrad no_grad;
    const Tensor products = ops::linear(filters, filters).value();
    const float* p = products.data<float>();
    std::vector<double> found(static_cast<size_t>(count), 0);
    for (int64_t a = 0; a < count; ++a)
        for (int64_t b = 0; b < count; ++b) {
            const double squared = double(p[a * count + a]) + p[b * count + b] - 2.0 * p[a * count + b];
            found[static_cast<size_t>(a)] += std::sqrt(std::max(0.0, squared));
        }
    return found;
}

void add(std::vector<double>& total, const std::vector<double>& more) {
    if (total.empty()) total.resize(more.size(), 0);
    for (size_t i = 0; i < more.size(); ++i) total[i] += more[i];
}

std::vector<double> from_weights(const ChannelGroup& group, ChannelImportance kind) {
    std::vector<double> total;
    for (const ChannelMember& member : group.members) {
        if (!member.parameter) continue;
        const bool makes = makes_channels(member.use);
        const bool reads =
            (member.use == ChannelUse::reader && member.value().rank() == 4) || member.use == ChannelUse::depthwise;
        if (kind == ChannelImportance::next_l2 && reads) add(total, l2_norms(member));
        if (kind == ChannelImportance::l1 && makes) add(total, l1_norms(member));
        if (kind == ChannelImportance::l2 && makes) add(total, l2_norms(member));
        if (kind == ChannelImportance::geometric_median && makes) add(total, distances(member));
        if (kind == ChannelImportance::batch_norm && member.use == ChannelUse::scale) add(total, l1_norms(member));
    }
    return total;
}

// The squares are taken batch by batch: means of gradients over many images would cancel out.
std::vector<std::vector<double>> taylor(const ChannelGroups& groups, nn::Module& module,
                                        const ChannelImportanceOptions& o) {
    check(o.data, "channel importance taylor: expected images to take gradients from, got none");
    std::vector<std::vector<double>> total(groups.groups().size());
    detail::for_each_gradient(module, *o.data, o.images, o.seed, [&](int64_t batches) {
        for (size_t g = 0; g < total.size(); ++g)
            for (const ChannelMember& member : groups.groups()[g].members) {
                if (!member.parameter || !member.parameter->grad()) continue;
                const Tensor &value = member.parameter->value(), &grad = member.parameter->grad();
                std::vector<double> joint;
                with_float(value, [&](auto zero) {
                    using T = decltype(zero);
                    const T *w = value.data<T>(), *dw = grad.data<T>();
                    for (const auto& indices : member.indices) {
                        double sum = 0;
                        for (int64_t index : indices)
                            for_slice(value.shape(), member.axis, index,
                                      [&](int64_t i) { sum += double(w[i]) * double(dw[i]); });
                        joint.push_back(sum * sum / static_cast<double>(batches));
                    }
                });
                add(total[g], joint);
            }
    });
    return total;
}

}  // namespace

const char* name_of(ChannelImportance importance) { return kImportanceNames[importance]; }
std::vector<std::string> channel_importance_names() { return kImportanceNames.all(); }
ChannelImportance channel_importance_of(const std::string& name) { return kImportanceNames.value_of(name); }

std::vector<std::vector<double>> channel_importance(const ChannelGroups& groups, nn::Module& module,
                                                    const ChannelImportanceOptions& options) {
    if (options.kind == ChannelImportance::taylor) return taylor(groups, module, options);
    std::vector<std::vector<double>> found;
    for (const ChannelGroup& group : groups.groups()) {
        std::vector<double> scores;
        if (options.kind == ChannelImportance::random || options.kind == ChannelImportance::order) {
            Random random(options.seed, found.size());
            for (int64_t c = 0; c < group.channels; ++c)
                scores.push_back(options.kind == ChannelImportance::order ? -static_cast<double>(c) : random.uniform());
        } else if (group.fixed.empty()) {
            scores = from_weights(group, options.kind);
        }
        found.push_back(std::move(scores));
    }
    return found;
}

}  // namespace lathe::compress
