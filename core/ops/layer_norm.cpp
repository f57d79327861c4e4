#include "lathe/core/ops/layer_norm.h"

#include "lathe/core/kernels/norm/layer_norm.h"

namespace lathe::ops {

Variable layer_norm(const Variable& x, const Variable& weight, const Variable& bias, double eps) {
    check(x.value().rank() >= 1 && x.shape().back() > 0, "layer_norm: expected x [..., C], got ", x.shape());
    const int64_t c = x.shape().back(), n = x.value().numel() / c;
    check(!weight || weight.shape() == Shape{c}, "layer_norm: expected weight [", c, "], got ", weight.shape());
    check(!bias || bias.shape() == Shape{c}, "layer_norm: expected bias [", c, "], got ", bias.shape());

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

}  // namespace lathe::ops
