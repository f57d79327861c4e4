#include "lathe/core/ops/pool2d.h"

#include "lathe/core/kernels/pool/pool2d.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

using kernels::Pool2dShape;

namespace {

Pool2dShape geometry(const char* op, const Shape& x, Pair kernel, const std::optional<Pair>& given,
                     const Padding& pad) {
    const Pair stride = given.value_or(kernel);
    check(x.rank() == 4, op, ": expected x [N, H, W, C], got ", x);
    check(kernel.h >= 1 && kernel.w >= 1 && stride.h >= 1 && stride.w >= 1, op,
          ": expected kernel and stride of at least 1, got ", kernel.h, "x", kernel.w, " and ", stride.h, "x",
          stride.w);
    auto fits = [](int64_t padding, int64_t size) { return padding >= 0 && padding < size; };
    check(
        fits(pad.top, kernel.h) && fits(pad.bottom, kernel.h) && fits(pad.left, kernel.w) && fits(pad.right, kernel.w),
        op, ": expected padding smaller than the kernel ", kernel.h, "x", kernel.w, ", got ", pad.top, ", ", pad.bottom,
        ", ", pad.left, ", ", pad.right);
    const int64_t h = x[1] + pad.top + pad.bottom, w = x[2] + pad.left + pad.right;
    check(x[1] >= 1 && x[2] >= 1 && h >= kernel.h && w >= kernel.w, op, ": expected an input of at least ", kernel.h,
          "x", kernel.w, " after padding, got ", h, "x", w);
    return {.batch = x[0], .in_h = x[1], .in_w = x[2], .channels = x[3],
            .out_h = (h - kernel.h) / stride.h + 1, .out_w = (w - kernel.w) / stride.w + 1,
            .kernel_h = kernel.h, .kernel_w = kernel.w, .stride_h = stride.h, .stride_w = stride.w,
            .pad_top = pad.top, .pad_left = pad.left};
}

Shape result_shape(const Pool2dShape& g) { return {g.batch, g.out_h, g.out_w, g.channels}; }

Attributes attributes(const Pool2dShape& g, const Padding& pad) {
    return {{"kernel_size", list_of(Pair{g.kernel_h, g.kernel_w})}, {"stride", list_of(Pair{g.stride_h, g.stride_w})},
            {"padding", list_of(pad)}};
}

// Calls f with an index of the type that holds the places of a window.
template <class F>
void with_index(DType dtype, F&& f) {
    if (dtype == DType::u8) f(uint8_t{});
    else f(int32_t{});
}

}  // namespace

Variable max_pool2d(const Variable& x, Pair kernel, const MaxPool2dOptions& options) {
    const Pool2dShape g = geometry("max_pool2d", x.shape(), kernel, options.stride, options.padding);
    const DType index_type = g.kernel_h * g.kernel_w <= 256 ? DType::u8 : DType::i32;
    Tensor y(result_shape(g), x.dtype()), index;
    if (x.requires_grad() && grad_enabled()) index = Tensor(y.shape(), index_type);
    with_float(y, [&](auto zero) {
        with_index(index_type, [&](auto place) {
            using T = decltype(zero);
            using Index = decltype(place);
            kernels::max_pool2d_forward(g, x.value().data<T>(), y.mutable_data<T>(),
                                        index ? index.mutable_data<Index>() : nullptr);
        });
    });
    auto backward = [g, index](Tensor dy) {  // dx = dy where the largest value was, summed over the windows
        Tensor dx({g.batch, g.in_h, g.in_w, g.channels}, dy.dtype());
        with_float(dy, [&](auto zero) {
            with_index(index.dtype(), [&](auto place) {
                using T = decltype(zero);
                kernels::max_pool2d_backward(g, dy.data<T>(), index.data<decltype(place)>(), dx.mutable_data<T>());
            });
        });
        return Gradients{dx};
    };
    return record("max_pool2d", {&x}, std::move(y), std::move(backward),
                  [&] { return attributes(g, options.padding); });
}

Variable avg_pool2d(const Variable& x, Pair kernel, const AvgPool2dOptions& options) {
    Pool2dShape g = geometry("avg_pool2d", x.shape(), kernel, options.stride, options.padding);
    g.count_padding = options.count_include_pad;
    Tensor y(result_shape(g), x.dtype());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        kernels::avg_pool2d_forward(g, x.value().data<T>(), y.mutable_data<T>());
    });
    auto backward = [g](Tensor dy) {  // dx = dy / divisor, summed over the windows
        Tensor dx({g.batch, g.in_h, g.in_w, g.channels}, dy.dtype());
        with_float(dy, [&](auto zero) {
            using T = decltype(zero);
            kernels::avg_pool2d_backward(g, dy.data<T>(), dx.mutable_data<T>());
        });
        return Gradients{dx};
    };
    return record("avg_pool2d", {&x}, std::move(y), std::move(backward), [&] {
        Attributes result = attributes(g, options.padding);
        result.add("count_include_pad", int64_t{options.count_include_pad});
        return result;
    });
}

namespace {

Shape mean_shape(const Attributes&, Shapes x) {
    check(x[0].rank() == 4 && x[0][1] * x[0][2] > 0, "global_avg_pool: expected x [N, H, W, C], got ", x[0]);
    return {x[0][0], x[0][3]};
}

}  // namespace

Variable global_avg_pool(const Variable& x) {
    Tensor y(mean_shape({}, {&x.shape(), 1}), x.dtype());
    const int64_t n = x.dim(0), pixels = x.dim(1) * x.dim(2), channels = x.dim(3);
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        kernels::mean_pixels_forward(n, pixels, channels, x.value().data<T>(), y.mutable_data<T>());
    });
    auto backward = [n, pixels, channels, shape = x.shape()](Tensor dy) {  // dx = dy / pixels
        Tensor dx(shape, dy.dtype());
        with_float(dy, [&](auto zero) {
            using T = decltype(zero);
            kernels::mean_pixels_backward(n, pixels, channels, dy.data<T>(), dx.mutable_data<T>());
        });
        return Gradients{dx};
    };
    return record("global_avg_pool", {&x}, std::move(y), std::move(backward));
}

namespace row {
namespace {

std::vector<AttributeSpec> window_specs() {
    return {{.type = AttributeSpec::integers, .name = "kernel_size", .count = 2, .required = true},
            stride_spec(),
            padding_spec()};
}

Shape window_shape(const char* op, const Attributes& a, Shapes x) {
    return result_shape(geometry(op, x[0], pair_of(a, "kernel_size"), pair_of(a, "stride"), padding_of(a)));
}

}  // namespace

OpInfo max_pool2d() {
    return {.name = "max_pool2d",
            .attributes = window_specs(),
            .run =
                [](const Attributes& a, Inputs x, Mode) {
                    return ops::max_pool2d(x[0], pair_of(a, "kernel_size"),
                                           {.stride = pair_of(a, "stride"), .padding = padding_of(a)});
                },
            .shape = [](const Attributes& a, Shapes x) { return window_shape("max_pool2d", a, x); },
            .traits = {.per_channel = true, .monotone = true, .keeps_zero = true, .any_layout = true},
            .channels = ChannelRule::pool};
}

OpInfo avg_pool2d() {
    std::vector<AttributeSpec> specs = window_specs();
    specs.push_back({.type = AttributeSpec::integer, .name = "count_include_pad", .otherwise = int64_t{1}});
    return {.name = "avg_pool2d",
            .attributes = specs,
            .run = [](const Attributes& a, Inputs x, Mode) {
                return ops::avg_pool2d(x[0], pair_of(a, "kernel_size"),
                                       {.stride = pair_of(a, "stride"), .padding = padding_of(a),
                                        .count_include_pad = a.integer("count_include_pad") != 0});
            },
            .shape = [](const Attributes& a, Shapes x) { return window_shape("avg_pool2d", a, x); },
            .traits = {.per_channel = true, .monotone = true, .keeps_zero = true, .any_layout = true},
            .channels = ChannelRule::pool};
}

OpInfo global_avg_pool() {
    return {.name = "global_avg_pool",
            .run = [](const Attributes&, Inputs x, Mode) { return ops::global_avg_pool(x[0]); },
            .shape = mean_shape,
            .traits = {.per_channel = true, .monotone = true, .keeps_zero = true, .any_layout = true, .lab_macs = true},
            .channels = ChannelRule::pool};
}
}  // namespace row

}  // namespace lathe::ops
