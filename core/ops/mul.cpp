#include "lathe/core/ops/mul.h"

#include "lathe/core/kernels/rows/broadcast.h"
#include "lathe/core/ops/sum.h"

namespace lathe::ops {

namespace {

Tensor product(const Tensor& a, const Tensor& b) {
    const kernels::Broadcast plan = kernels::broadcast("mul", a.shape(), b.shape());
    Tensor y(plan.shape, a.dtype());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        kernels::elementwise(plan, a.data<T>(), b.data<T>(), y.mutable_data<T>(), [](T p, T q) { return p * q; });
    });
    return y;
}

}  // namespace

Variable mul(const Variable& a, const Variable& b) {
    auto backward = [a = Saved(a, b.requires_grad()), b = Saved(b, a.requires_grad()), a_shape = a.shape(),
                     b_shape = b.shape()](Tensor dy) {  // da = dy b, db = dy a
        return Gradients{a.needs() ? sum_to(product(dy, *b), a_shape) : Tensor{},
                         b.needs() ? sum_to(product(dy, *a), b_shape) : Tensor{}};
    };
    return record("mul", {&a, &b}, product(a.value(), b.value()), std::move(backward));
}

}  // namespace lathe::ops
