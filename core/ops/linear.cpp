#include "lathe/core/ops/linear.h"

#include "lathe/core/kernels/gemm/gemm.h"
#include "lathe/core/kernels/rows/reduce.h"
#include "lathe/core/kernels/rows/rows.h"
#include "lathe/core/ops/detail/fused.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

using kernels::gemm;
using kernels::Trans;

namespace {

Shape result_shape(const Shape& x, const Shape& weight, const Shape& bias) {
    check(weight.rank() == 2, "linear: expected weight [out, in], got ", weight);
    check(x.rank() >= 1 && x.back() == weight[1], "linear: expected x [..., ", weight[1], "], got ", x);
    check(is_absent(bias) || bias == Shape{weight[0]}, "linear: expected bias [", weight[0], "], got ", bias);
    Shape y = x;
    y[y.rank() - 1] = weight[0];
    return y;
}

// Backward: dx = dy W, dW = dy^T x, db = the sum of dy over the rows.
struct LinearBackward {
    Saved x, weight;
    bool bias_needs;
    Shape x_shape;
    int64_t n, in, out;

    LinearBackward(const Variable& x, const Variable& weight, const Variable& bias)
        : x(x, weight.requires_grad()),
          weight(weight, x.requires_grad()),
          bias_needs(bias.requires_grad()),
          x_shape(x.shape()),
          n(rows_of(x.shape())),
          in(weight.dim(1)),
          out(weight.dim(0)) {}

    Gradients operator()(const Tensor& dy) const {
        Gradients gradients(3);
        with_float(dy, [&](auto zero) {
            using T = decltype(zero);
            const T* d = dy.data<T>();
            if (x.needs()) {
                gradients[0] = Tensor(x_shape, dy.dtype());
                gemm(Trans::no, Trans::no, n, in, out, d, out, weight->data<T>(), in, gradients[0].mutable_data<T>(),
                     in);
            }
            if (weight.needs()) {
                gradients[1] = Tensor({out, in}, dy.dtype());
                gemm(Trans::yes, Trans::no, out, in, n, d, out, x->data<T>(), in, gradients[1].mutable_data<T>(), in);
            }
            if (bias_needs) {
                gradients[2] = Tensor({out}, dy.dtype());
                kernels::sum_axis(1, n, out, d, gradients[2].mutable_data<T>());
            }
        });
        return gradients;
    }
};

// x W^T + b
Tensor product(const Variable& x, const Variable& weight, const Variable& bias) {
    Tensor y(result_shape(x.shape(), weight.shape(), shape_of(bias)), x.dtype());
    const int64_t out = weight.dim(0), in = weight.dim(1), n = rows_of(x.shape());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        T* to = y.mutable_data<T>();
        gemm(Trans::no, Trans::yes, n, out, in, x.value().data<T>(), in, weight.value().data<T>(), in, to, out);
        if (bias) kernels::add_row(n, out, bias.value().data<T>(), to);
    });
    return y;
}

}  // namespace

Variable linear(const Variable& x, const Variable& weight, const Variable& bias) {
    Tensor y = product(x, weight, bias);
    auto backward = [step = LinearBackward(x, weight, bias)](Tensor dy) { return step(dy); };
    return record("linear", {&x, &weight, &bias}, std::move(y), std::move(backward));
}

Variable linear_fused(const Variable& x, const Variable& weight, const Variable& bias, const Variable& addend,
                      Activation activation) {
    Tensor y = product(x, weight, bias);
    check_fused("linear_fused", y.shape(), shape_of(addend), activation);
    y = finished(std::move(y), addend, activation);
    auto backward = [step = LinearBackward(x, weight, bias), end = FusedBackward(y, addend, activation)](Tensor dy) {
        dy = end.through_activation(std::move(dy));
        return end.with_addend(step(dy), dy);
    };
    auto attributes = [&] { return Attributes{{"activation", text_of(activation)}}; };
    return record("linear_fused", {&x, &weight, &bias, &addend}, std::move(y), std::move(backward), attributes);
}

namespace row {
namespace {

kernels::Conv2dShape linear_layer(const Attributes&, Shapes x) {
    result_shape(x[0], x[1], shape_or_none(x, 2));
    const int64_t out = x[1][0], in = x[1][1];
    return {.batch = rows_of(x[0]),
            .in_h = 1,
            .in_w = 1,
            .in_c = in,
            .out_h = 1,
            .out_w = 1,
            .out_c = out,
            .kernel_h = 1,
            .kernel_w = 1};
}

int64_t linear_macs(const Attributes&, Shapes x, const Shape& y) { return y.numel() * x[1][1]; }

}  // namespace

OpInfo linear() {
    return {.name = "linear",
            .min_inputs = 2,
            .max_inputs = 3,
            .run = [](const Attributes&, Inputs x, Mode) { return ops::linear(x[0], x[1], input_or_none(x, 2)); },
            .shape = [](const Attributes&, Shapes x) { return result_shape(x[0], x[1], shape_or_none(x, 2)); },
            .macs = linear_macs,
            .channels = ChannelRule::linear,
            .layer = linear_layer,
            .fused = "linear_fused"};
}

OpInfo linear_fused() {
    return {.name = "linear_fused",
            .min_inputs = 4,
            .max_inputs = 4,
            .attributes = {activation_spec()},
            .run = [](const Attributes& a, Inputs x, Mode) {
                return ops::linear_fused(x[0], x[1], x[2], x[3], activation_of(a));
            },
            .shape = [](const Attributes& a, Shapes x) {
                const Shape y = result_shape(x[0], x[1], x[2]);
                check_fused("linear_fused", y, x[3], activation_of(a));
                return y;
            },
            .macs = linear_macs,
            .channels = ChannelRule::linear,
            .layer = linear_layer};
}
}  // namespace row

}  // namespace lathe::ops
