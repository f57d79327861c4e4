#include "lathe/core/ops/mul.h"

#include "lathe/core/kernels/rows/broadcast.h"
#include "lathe/core/ops/sum.h"
#include "lathe/core/ops/detail/row.h"

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

namespace row {
OpInfo mul() {
    return {.name = "mul",
            .min_inputs = 2,
            .max_inputs = 2,
            .run = [](const Attributes&, Inputs x, Mode) { return ops::mul(x[0], x[1]); },
            .shape = [](const Attributes&, Shapes x) { return kernels::broadcast("mul", x[0], x[1]).shape; },
            .traits = {.elementwise = true, .per_channel = true, .keeps_zero = true, .any_layout = true},
            .channels = ChannelRule::elementwise};
}
}  // namespace row

}  // namespace lathe::ops
