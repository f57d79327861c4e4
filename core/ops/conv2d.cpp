#include "lathe/core/ops/conv2d.h"

#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/kernels/rows/reduce.h"

namespace lathe::ops {

using kernels::Conv2dShape;

namespace {

Conv2dShape geometry(const Variable& x, const Variable& weight, const Variable& bias, const Conv2dOptions& o) {
    check(weight.value().rank() == 4, "conv2d: expected weight [K, R, S, C/groups], got ", weight.shape());
    const int64_t k = weight.dim(0), r = weight.dim(1), s = weight.dim(2), per_group = weight.dim(3);
    check(o.groups >= 1 && k % o.groups == 0, "conv2d: expected output channels divisible by groups, got ", k, " and ", o.groups);
    check(o.stride.h >= 1 && o.stride.w >= 1 && o.dilation.h >= 1 && o.dilation.w >= 1,
          "conv2d: expected stride and dilation of at least 1");
    check(x.value().rank() == 4 && x.dim(3) == per_group * o.groups, "conv2d: expected input [N, H, W, ",
          per_group * o.groups, "], got ", x.shape());
    check(!bias || bias.shape() == Shape{k}, "conv2d: expected bias [", k, "], got ", bias.shape());
    const int64_t h = x.dim(1) + o.padding.top + o.padding.bottom, w = x.dim(2) + o.padding.left + o.padding.right;
    const int64_t window_h = o.dilation.h * (r - 1) + 1, window_w = o.dilation.w * (s - 1) + 1;
    check(h >= window_h && w >= window_w, "conv2d: expected an input of at least ", window_h, "x", window_w,
          " after padding, got ", h, "x", w);
    return {.batch = x.dim(0), .in_h = x.dim(1), .in_w = x.dim(2), .in_c = x.dim(3),
            .out_h = (h - window_h) / o.stride.h + 1, .out_w = (w - window_w) / o.stride.w + 1, .out_c = k,
            .kernel_h = r, .kernel_w = s, .stride_h = o.stride.h, .stride_w = o.stride.w,
            .pad_top = o.padding.top, .pad_left = o.padding.left,
            .dilation_h = o.dilation.h, .dilation_w = o.dilation.w, .groups = o.groups};
}

}  // namespace

Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias, const Conv2dOptions& options) {
    const Conv2dShape shape = geometry(x, weight, bias, options);
    Tensor y({shape.batch, shape.out_h, shape.out_w, shape.out_c}, x.dtype());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        kernels::conv2d_forward(shape, x.value().data<T>(), weight.value().data<T>(),
                                bias ? bias.value().data<T>() : nullptr, y.mutable_data<T>());
    });

    auto backward = [x = Saved(x, weight.requires_grad()), weight = Saved(weight, x.requires_grad()),
                     bias_needs = bias.requires_grad(), x_shape = x.shape(), weight_shape = weight.shape(),
                     shape](Tensor dy) {
        Gradients gradients(3);
        with_float(dy, [&](auto zero) {
            using T = decltype(zero);
            const T* d = dy.data<T>();
            if (x.needs()) {
                gradients[0] = Tensor(x_shape, dy.dtype());
                kernels::conv2d_backward_input(shape, d, weight->data<T>(), gradients[0].mutable_data<T>());
            }
            if (weight.needs()) {
                gradients[1] = Tensor(weight_shape, dy.dtype());
                kernels::conv2d_backward_weight(shape, x->data<T>(), d, gradients[1].mutable_data<T>());
            }
            if (bias_needs) {
                gradients[2] = Tensor({shape.out_c}, dy.dtype());
                kernels::sum_axis(1, dy.numel() / shape.out_c, shape.out_c, d, gradients[2].mutable_data<T>());
            }
        });
        return gradients;
    };
    auto attributes = [&] {
        return Attributes{{"stride", std::vector<int64_t>{options.stride.h, options.stride.w}},
                          {"padding", std::vector<int64_t>{options.padding.top, options.padding.bottom,
                                                           options.padding.left, options.padding.right}},
                          {"dilation", std::vector<int64_t>{options.dilation.h, options.dilation.w}},
                          {"groups", options.groups},
                          {"kernel", std::string(kernels::conv2d_algorithm(shape))}};
    };
    return record("conv2d", {&x, &weight, &bias}, std::move(y), std::move(backward), attributes);
}

}  // namespace lathe::ops
