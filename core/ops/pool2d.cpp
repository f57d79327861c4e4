#include "lathe/core/ops/pool2d.h"

#include "lathe/core/kernels/pool/pool2d.h"

namespace lathe::ops {

using kernels::Pool2dShape;

namespace {

Pool2dShape geometry(const char* op, const Variable& x, Pair kernel, const std::optional<Pair>& given, const Padding& pad) {
    const Pair stride = given.value_or(kernel);
    check(x.value().rank() == 4, op, ": expected x [N, H, W, C], got ", x.shape());
    check(kernel.h >= 1 && kernel.w >= 1 && stride.h >= 1 && stride.w >= 1, op, ": expected kernel and stride of at least 1, got ",
          kernel.h, "x", kernel.w, " and ", stride.h, "x", stride.w);
    auto fits = [](int64_t padding, int64_t size) { return padding >= 0 && padding < size; };
    check(fits(pad.top, kernel.h) && fits(pad.bottom, kernel.h) && fits(pad.left, kernel.w) && fits(pad.right, kernel.w), op,
          ": expected padding smaller than the kernel ", kernel.h, "x", kernel.w, ", got ", pad.top, ", ", pad.bottom, ", ",
          pad.left, ", ", pad.right);
    const int64_t h = x.dim(1) + pad.top + pad.bottom, w = x.dim(2) + pad.left + pad.right;
    check(x.dim(1) >= 1 && x.dim(2) >= 1 && h >= kernel.h && w >= kernel.w, op, ": expected an input of at least ", kernel.h,
          "x", kernel.w, " after padding, got ", h, "x", w);
    return {.batch = x.dim(0), .in_h = x.dim(1), .in_w = x.dim(2), .channels = x.dim(3),
            .out_h = (h - kernel.h) / stride.h + 1, .out_w = (w - kernel.w) / stride.w + 1,
            .kernel_h = kernel.h, .kernel_w = kernel.w, .stride_h = stride.h, .stride_w = stride.w,
            .pad_top = pad.top, .pad_left = pad.left};
}

Shape result_shape(const Pool2dShape& g) { return {g.batch, g.out_h, g.out_w, g.channels}; }

Attributes attributes(const Pool2dShape& g, const Padding& pad) {
    return {{"kernel_size", std::vector<int64_t>{g.kernel_h, g.kernel_w}},
            {"stride", std::vector<int64_t>{g.stride_h, g.stride_w}},
            {"padding", std::vector<int64_t>{pad.top, pad.bottom, pad.left, pad.right}}};
}

// Calls f with an index of the type that holds the places of a window.
template <class F>
void with_index(DType dtype, F&& f) {
    if (dtype == DType::u8) f(uint8_t{});
    else f(int32_t{});
}

}  // namespace

Variable max_pool2d(const Variable& x, Pair kernel, const MaxPool2dOptions& options) {
    const Pool2dShape g = geometry("max_pool2d", x, kernel, options.stride, options.padding);
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
    return record("max_pool2d", {&x}, std::move(y), std::move(backward), [&] { return attributes(g, options.padding); });
}

Variable avg_pool2d(const Variable& x, Pair kernel, const AvgPool2dOptions& options) {
    Pool2dShape g = geometry("avg_pool2d", x, kernel, options.stride, options.padding);
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

Variable global_avg_pool(const Variable& x) {
    check(x.value().rank() == 4 && x.dim(1) * x.dim(2) > 0, "global_avg_pool: expected x [N, H, W, C], got ", x.shape());
    const int64_t n = x.dim(0), pixels = x.dim(1) * x.dim(2), channels = x.dim(3);
    Tensor y({n, channels}, x.dtype());
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

}  // namespace lathe::ops
