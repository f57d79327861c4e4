#include "lathe/core/ops/pad.h"

#include <algorithm>

#include "lathe/core/kernels/rows/copy_box.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

namespace {

Shape padded_shape(const Shape& x, const std::vector<PadWidth>& widths) {
    check(static_cast<int>(widths.size()) == x.rank(), "pad: expected widths for the ", x.rank(), " axes of ", x,
          ", got ", widths.size());
    Shape shape;
    for (int i = 0; i < x.rank(); ++i) {
        const auto [before, after] = widths[static_cast<size_t>(i)];
        check(before >= 0 && after >= 0, "pad: expected widths of at least 0, got ", before, " and ", after);
        shape.push_back(before + x[i] + after);
    }
    return shape;
}

// Where x's first element lands, in elements.
int64_t corner(const Shape& shape, const std::vector<PadWidth>& widths) {
    int64_t at = 0;
    for (int i = 0; i < shape.rank(); ++i) at = at * shape[i] + widths[static_cast<size_t>(i)].before;
    return at;
}

Tensor padded(const Tensor& x, const std::vector<PadWidth>& widths, double value) {
    Tensor y = Tensor::full(padded_shape(x.shape(), widths), value, x.dtype());
    const int64_t bytes = static_cast<int64_t>(size_of(x.dtype()));
    kernels::copy_box(x.shape(), size_of(x.dtype()), x.raw(), x.shape(),
                      y.mutable_raw() + corner(y.shape(), widths) * bytes, y.shape());
    return y;
}

// dx is dy without its border.
Tensor cropped(const Tensor& dy, const Shape& x, const std::vector<PadWidth>& widths) {
    Tensor dx(x, dy.dtype());
    const int64_t bytes = static_cast<int64_t>(size_of(dy.dtype()));
    kernels::copy_box(x, size_of(dy.dtype()), dy.raw() + corner(dy.shape(), widths) * bytes, dy.shape(),
                      dx.mutable_raw(), x);
    return dx;
}

Attributes pad_attributes(const std::vector<PadWidth>& widths, double value) {
    std::vector<int64_t> before, after;
    for (const PadWidth& width : widths) {
        before.push_back(width.before);
        after.push_back(width.after);
    }
    return {{"before", before}, {"after", after}, {"value", value}};
}

std::vector<PadWidth> channel_widths(const Shape& x, const Shape& like) {
    check(x.rank() >= 1 && like.rank() >= 1 && like.back() >= x.back(),
          "pad_channels: expected x [.., C] of at most as many channels as ", like, ", got ", x);
    const int64_t more = like.back() - x.back();
    std::vector<PadWidth> widths(static_cast<size_t>(x.rank()));
    widths.back() = {more / 2, more - more / 2};
    return widths;
}

}  // namespace

Variable pad(const Variable& x, const std::vector<PadWidth>& widths, double value) {
    if (padded_shape(x.shape(), widths) == x.shape()) return x;
    auto backward = [x_shape = x.shape(), widths](Tensor dy) { return Gradients{cropped(dy, x_shape, widths)}; };
    return record("pad", {&x}, padded(x.value(), widths, value), std::move(backward),
                  [&] { return pad_attributes(widths, value); });
}

Variable pad(const Variable& x, const Padding& padding, double value) {
    check(x.value().rank() == 4, "pad: expected x [N, H, W, C], got ", x.shape());
    return pad(x, {{}, {padding.top, padding.bottom}, {padding.left, padding.right}, {}}, value);
}

Variable pad_channels(const Variable& x, const Variable& like) {
    const std::vector<PadWidth> widths = channel_widths(x.shape(), like.shape());
    if (x.shape().back() == like.shape().back()) return x;
    auto backward = [x_shape = x.shape(), widths](Tensor dy) {
        return Gradients{cropped(dy, x_shape, widths), Tensor{}};
    };
    return record("pad_channels", {&x, &like}, padded(x.value(), widths, 0), std::move(backward));
}

namespace row {
namespace {

std::vector<PadWidth> widths_of(const Attributes& a) {
    const std::vector<int64_t>&before = a.integers("before"), &after = a.integers("after");
    check(before.size() == after.size(), "pad: expected as many widths before as after, got ", before.size(), " and ",
          after.size());
    std::vector<PadWidth> widths;
    for (size_t i = 0; i < before.size(); ++i) widths.push_back({before[i], after[i]});
    return widths;
}

}  // namespace

OpInfo pad() {
    return {.name = "pad",
            .attributes = {{.type = AttributeSpec::integers, .name = "before", .required = true},
                           {.type = AttributeSpec::integers, .name = "after", .required = true},
                           {.type = AttributeSpec::real, .name = "value", .otherwise = 0.0}},
            .run = [](const Attributes& a, Inputs x, Mode) { return ops::pad(x[0], widths_of(a), a.real("value")); },
            .shape = [](const Attributes& a, Shapes x) { return padded_shape(x[0], widths_of(a)); },
            .channels = ChannelRule::pad};
}

OpInfo pad_channels() {
    return {.name = "pad_channels",
            .min_inputs = 2,
            .max_inputs = 2,
            .run = [](const Attributes&, Inputs x, Mode) { return ops::pad_channels(x[0], x[1]); },
            .shape = [](const Attributes&, Shapes x) { return padded_shape(x[0], channel_widths(x[0], x[1])); },
            .traits = {.keeps_zero = true},
            .channels = ChannelRule::pad_like,
            .fixed = [](const Attributes&, Shapes x) {
                return OpInfo::Fixed{"pad", pad_attributes(channel_widths(x[0], x[1]), 0)};
            }};
}
}  // namespace row

}  // namespace lathe::ops
