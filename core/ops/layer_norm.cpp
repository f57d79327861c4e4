#include "lathe/core/ops/layer_norm.h"

#include "lathe/core/kernels/norm/layer_norm.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

namespace {

void check_shapes(const Shape& x, const Shape& weight, const Shape& bias) {
    check(x.rank() >= 1 && x.back() > 0, "layer_norm: expected x [..., C], got ", x);
    const Shape each{x.back()};
    check(is_absent(weight) || weight == each, "layer_norm: expected weight ", each, ", got ", weight);
    check(is_absent(bias) || bias == each, "layer_norm: expected bias ", each, ", got ", bias);
}

}  // namespace

Variable layer_norm(const Variable& x, const Variable& weight, const Variable& bias, double eps) {
    check_shapes(x.shape(), shape_of(weight), shape_of(bias));
    const int64_t c = x.shape().back(), n = rows_of(x.shape());

    const Variable scale = weight ? weight : Variable(Tensor::full({c}, 1, x.dtype()));
    const Tensor shift = bias ? bias.value() : Tensor::zeros({c}, x.dtype());
    Tensor y(x.shape(), x.dtype()), mean({n}, x.dtype()), inv_std({n}, x.dtype());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        kernels::layer_norm_forward(n, c, x.value().data<T>(), scale.value().data<T>(), shift.data<T>(), eps,
                                    y.mutable_data<T>(), mean.mutable_data<T>(), inv_std.mutable_data<T>());
    });

    auto backward = [x = Saved(x), scale = Saved(scale), mean, inv_std, n, c](Tensor dy) {
        Tensor dweight({c}, dy.dtype()), dbias({c}, dy.dtype()), dx = dy.unique() ? dy : Tensor(dy.shape(), dy.dtype());
        with_float(dy, [&](auto zero) {
            using T = decltype(zero);
            kernels::layer_norm_backward(n, c, x->data<T>(), dy.data<T>(), scale->data<T>(), mean.data<T>(),
                                         inv_std.data<T>(), dx.mutable_data<T>(), dweight.mutable_data<T>(),
                                         dbias.mutable_data<T>());
        });
        return Gradients{dx, dweight, dbias};
    };
    return record("layer_norm", {&x, &weight, &bias}, std::move(y), std::move(backward),
                  [&] { return Attributes{{"eps", eps}}; });
}

namespace row {
OpInfo layer_norm() {
    return {.name = "layer_norm",
            .min_inputs = 1,
            .max_inputs = 3,
            .attributes = {{.type = AttributeSpec::real, .name = "eps", .otherwise = 1e-5}},
            .run = [](const Attributes& a, Inputs x, Mode) {
                return ops::layer_norm(x[0], input_or_none(x, 1), input_or_none(x, 2), a.real("eps"));
            },
            .shape = [](const Attributes&, Shapes x) {
                check_shapes(x[0], shape_or_none(x, 1), shape_or_none(x, 2));
                return x[0];
            },
            .channels = ChannelRule::norm};
}
}  // namespace row

}  // namespace lathe::ops
