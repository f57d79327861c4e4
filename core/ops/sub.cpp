#include "lathe/core/ops/sub.h"

#include "lathe/core/kernels/rows/broadcast.h"
#include "lathe/core/ops/scale.h"
#include "lathe/core/ops/sum.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

Variable sub(const Variable& a, const Variable& b) {
    const kernels::Broadcast plan = kernels::broadcast("sub", a.shape(), b.shape());
    Tensor y(plan.shape, a.dtype());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        kernels::elementwise(plan, a.value().data<T>(), b.value().data<T>(), y.mutable_data<T>(),
                             [](T p, T q) { return p - q; });
    });
    auto backward = [a_needs = a.requires_grad(), b_needs = b.requires_grad(), a_shape = a.shape(),
                     b_shape = b.shape()](Tensor dy) {  // da = dy, db = -dy
        return Gradients{a_needs ? sum_to(dy, a_shape) : Tensor{},
                         b_needs ? scaled(sum_to(dy, b_shape), -1) : Tensor{}};
    };
    return record("sub", {&a, &b}, std::move(y), std::move(backward));
}

namespace row {
OpInfo sub() {
    return {.name = "sub",
            .min_inputs = 2,
            .max_inputs = 2,
            .run = [](const Attributes&, Inputs x, Mode) { return ops::sub(x[0], x[1]); },
            .shape = [](const Attributes&, Shapes x) { return kernels::broadcast("sub", x[0], x[1]).shape; },
            .traits = {.elementwise = true, .per_channel = true, .any_layout = true},
            .channels = ChannelRule::elementwise};
}
}  // namespace row

}  // namespace lathe::ops
