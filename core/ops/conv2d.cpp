#include "lathe/core/ops/conv2d.h"

#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/kernels/rows/reduce.h"
#include "lathe/core/ops/detail/fused.h"
#include "lathe/core/ops/detail/row.h"
#include "lathe/core/ops/pool2d.h"

namespace lathe::ops {

using kernels::Conv2dShape;

namespace {

Conv2dShape geometry(const Shape& x, const Shape& weight, const Shape& bias, const Conv2dOptions& o) {
    check(weight.rank() == 4, "conv2d: expected weight [K, R, S, C/groups], got ", weight);
    const int64_t k = weight[0], r = weight[1], s = weight[2], per_group = weight[3];
    check(o.groups >= 1 && k % o.groups == 0, "conv2d: expected output channels divisible by groups, got ", k, " and ",
          o.groups);
    check(o.stride.h >= 1 && o.stride.w >= 1 && o.dilation.h >= 1 && o.dilation.w >= 1,
          "conv2d: expected stride and dilation of at least 1");
    check(x.rank() == 4 && x[3] == per_group * o.groups, "conv2d: expected input [N, H, W, ", per_group * o.groups,
          "], got ", x);
    check(is_absent(bias) || bias == Shape{k}, "conv2d: expected bias [", k, "], got ", bias);
    const int64_t h = x[1] + o.padding.top + o.padding.bottom, w = x[2] + o.padding.left + o.padding.right;
    const int64_t window_h = o.dilation.h * (r - 1) + 1, window_w = o.dilation.w * (s - 1) + 1;
    check(h >= window_h && w >= window_w, "conv2d: expected an input of at least ", window_h, "x", window_w,
          " after padding, got ", h, "x", w);
    return {.batch = x[0], .in_h = x[1], .in_w = x[2], .in_c = x[3],
            .out_h = (h - window_h) / o.stride.h + 1, .out_w = (w - window_w) / o.stride.w + 1, .out_c = k,
            .kernel_h = r, .kernel_w = s, .stride_h = o.stride.h, .stride_w = o.stride.w,
            .pad_top = o.padding.top, .pad_left = o.padding.left,
            .dilation_h = o.dilation.h, .dilation_w = o.dilation.w, .groups = o.groups, .exact = o.exact};
}

// Of a call: where gradients are recorded, speed counts more than the last digit.
Conv2dShape geometry(const Variable& x, const Variable& weight, const Variable& bias, Conv2dOptions o) {
    o.exact = o.exact && !grad_enabled();
    return geometry(x.shape(), weight.shape(), shape_of(bias), o);
}

Shape result_shape(const Conv2dShape& g) { return {g.batch, g.out_h, g.out_w, g.out_c}; }

// Backward: y[n,p,q,k] = sum over r, s, c of x[n, stride p + dilation r - pad, stride q + dilation s - pad, c]
// w[k,r,s,c] + b[k], so each product gives each of its two factors the other one times dy:
//   dx[n,h,w,c] = sum over k and the taps r, s that carried pixel (h, w) to a result (p, q) of dy[n,p,q,k] w[k,r,s,c]
//   dw[k,r,s,c] = sum over n, p, q of dy[n,p,q,k] x[n, stride p + dilation r - pad, stride q + dilation s - pad, c]
//   db[k]       = sum over n, p, q of dy[n,p,q,k]
// On a line of four pixels with three taps, y0 = x0 w0 + x1 w1 + x2 w2 and y1 = x1 w0 + x2 w1 + x3 w2, so
//   dx = (dy0 w0, dy0 w1 + dy1 w0, dy0 w2 + dy1 w1, dy1 w2): dy, padded, meets the taps in turned order;
//   dw = (dy0 x0 + dy1 x1, dy0 x1 + dy1 x2, dy0 x2 + dy1 x3): x meets dy as if that were the kernel.
// So both gradients are convolutions again, and the kernels of forward serve them. A stride leaves gaps between the
// results that a pixel reaches: dx takes every stride-th pixel by itself (kernels/conv2d/axis.h, "phase").
struct Conv2dBackward {
    Saved x, weight;
    bool bias_needs;
    Shape x_shape, weight_shape;
    Conv2dShape shape;

    Conv2dBackward(const Variable& x, const Variable& weight, const Variable& bias, const Conv2dShape& shape)
        : x(x, weight.requires_grad()),
          weight(weight, x.requires_grad()),
          bias_needs(bias.requires_grad()),
          x_shape(x.shape()),
          weight_shape(weight.shape()),
          shape(shape) {}

    Gradients operator()(const Tensor& dy) const {
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
    }
};

// The groups follow from the shapes, so that channels may be cut.
Attributes attributes_of(const Conv2dOptions& o) {
    Attributes all{{"stride", list_of(o.stride)}, {"padding", list_of(o.padding)}, {"dilation", list_of(o.dilation)}};
    if (o.exact) all.add("exact", int64_t{1});
    return all;
}

}  // namespace

Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias, const Conv2dOptions& options) {
    const Conv2dShape shape = geometry(x, weight, bias, options);
    Tensor y(result_shape(shape), x.dtype());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        kernels::conv2d_forward(shape, x.value().data<T>(), weight.value().data<T>(),
                                bias ? bias.value().data<T>() : nullptr, y.mutable_data<T>());
    });
    auto backward = [step = Conv2dBackward(x, weight, bias, shape)](Tensor dy) { return step(dy); };
    return record("conv2d", {&x, &weight, &bias}, std::move(y), std::move(backward),
                  [&] { return attributes_of(options); });
}

Variable conv2d_fused(const Variable& x, const Variable& weight, const Variable& bias, const Variable& addend,
                      Activation activation, const Conv2dOptions& options) {
    const Conv2dShape shape = geometry(x, weight, bias, options);
    check_fused("conv2d_fused", result_shape(shape), shape_of(addend), activation);
    Tensor y = addend ? addend.value().clone() : Tensor(result_shape(shape), x.dtype());
    if (y.dtype() == DType::f32) {
        kernels::Epilogue end = epilogue_of(activation, bool(addend));
        end.bias = bias ? bias.value().data<float>() : nullptr;
        kernels::conv2d_forward(shape, x.value().data<float>(), weight.value().data<float>(), end,
                                y.mutable_data<float>());
    } else {
        Tensor sum(y.shape(), y.dtype());
        kernels::conv2d_forward(shape, x.value().data<double>(), weight.value().data<double>(),
                                bias ? bias.value().data<double>() : nullptr, sum.mutable_data<double>());
        y = finished(std::move(sum), addend, activation);
    }
    auto backward = [step = Conv2dBackward(x, weight, bias, shape),
                     end = FusedBackward(y, addend, activation)](Tensor dy) {
        dy = end.through_activation(std::move(dy));
        return end.with_addend(step(dy), dy);
    };
    auto attributes = [&] {
        Attributes all = attributes_of(options);
        all.add("activation", text_of(activation));
        all.add("max_pool", int64_t{1});
        return all;
    };
    return record("conv2d_fused", {&x, &weight, &bias, &addend}, std::move(y), std::move(backward), attributes);
}

namespace row {
namespace {

Conv2dOptions options_of(const Attributes& a, const Shape& x, const Shape& weight) {
    Conv2dOptions o{.stride = pair_of(a, "stride"), .padding = padding_of(a), .dilation = pair_of(a, "dilation")};
    check(x.rank() == 4 && weight.rank() == 4, "conv2d: expected x [N, H, W, C] and weight [K, R, S, C/groups], got ",
          x, " and ", weight);
    check(weight[3] > 0 && x[3] % weight[3] == 0, "conv2d: expected groups of ", weight[3], " channels, got input ", x);
    o.groups = x[3] / weight[3];
    o.exact = a.has("exact") && a.integer("exact") != 0;
    return o;
}

Conv2dShape layer(const Attributes& a, Shapes x) {
    return geometry(x[0], x[1], shape_or_none(x, 2), options_of(a, x[0], x[1]));
}

// A window of max_pool x max_pool results of which the largest is kept.
int64_t pool_of(const Attributes& a) {
    const int64_t pool = a.integer("max_pool");
    check(pool == 1 || pool == 2, "conv2d_fused: expected a max_pool of 1 or 2, got ", pool);
    return pool;
}

std::vector<AttributeSpec> specs() {
    return {stride_spec(), padding_spec(),
            {.type = AttributeSpec::integers, .name = "dilation", .count = 2, .otherwise = list_of(Pair{})},
            {.type = AttributeSpec::integer, .name = "exact", .optional = true}};
}

int64_t macs(const Attributes& a, Shapes x, const Shape&) { return layer(a, x).macs(); }

}  // namespace

OpInfo conv2d() {
    return {.name = "conv2d",
            .min_inputs = 2,
            .max_inputs = 3,
            .attributes = specs(),
            .run = [](const Attributes& a, Inputs x, Mode) {
                return ops::conv2d(x[0], x[1], input_or_none(x, 2), options_of(a, x[0].shape(), x[1].shape()));
            },
            .shape = [](const Attributes& a, Shapes x) { return result_shape(layer(a, x)); },
            .macs = macs,
            .channels = ChannelRule::convolution,
            .layer = layer,
            .fused = "conv2d_fused"};
}

OpInfo conv2d_fused() {
    std::vector<AttributeSpec> all = specs();
    all.push_back(activation_spec());
    all.push_back({.type = AttributeSpec::integer, .name = "max_pool", .otherwise = int64_t{1}});
    return {.name = "conv2d_fused",
            .min_inputs = 4,
            .max_inputs = 4,
            .attributes = all,
            .run = [](const Attributes& a, Inputs x, Mode) {
                const Variable y = ops::conv2d_fused(x[0], x[1], x[2], x[3], activation_of(a),
                                                     options_of(a, x[0].shape(), x[1].shape()));
                return pool_of(a) == 1 ? y : ops::max_pool2d(y, pool_of(a));
            },
            .shape = [](const Attributes& a, Shapes x) {
                Shape y = result_shape(layer(a, x));
                check_fused("conv2d_fused", y, shape_or_none(x, 3), activation_of(a));
                y[1] /= pool_of(a);
                y[2] /= pool_of(a);
                return y;
            },
            .macs = macs,
            .channels = ChannelRule::convolution,
            .layer = layer};
}
}  // namespace row

}  // namespace lathe::ops
