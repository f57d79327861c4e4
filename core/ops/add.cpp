#include "lathe/core/ops/add.h"

#include "lathe/core/kernels/rows/activation.h"
#include "lathe/core/kernels/rows/broadcast.h"
#include "lathe/core/ops/sum.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

Variable add(const Variable& a, const Variable& b, Activation activation) {
    const kernels::Broadcast plan = kernels::broadcast("add", a.shape(), b.shape());
    const bool relu = activation == Activation::relu;
    check(relu || activation == Activation::none, "add: expected activation none or relu, got ", name_of(activation));
    Tensor y(plan.shape, a.dtype());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        const T *left = a.value().data<T>(), *right = b.value().data<T>();
        T* to = y.mutable_data<T>();
        if (relu)
            kernels::elementwise(plan, left, right, to, [](T p, T q) { return p + q < 0 ? T(0) : p + q; });
        else
            kernels::elementwise(plan, left, right, to, [](T p, T q) { return p + q; });
    });

    auto backward = [y = Saved(y, relu), activation, relu, a_needs = a.requires_grad(), b_needs = b.requires_grad(),
                     a_shape = a.shape(), b_shape = b.shape()](Tensor dy) {
        if (relu) {  // dy where y > 0
            Tensor passed = dy.unique() ? dy : Tensor(dy.shape(), dy.dtype());
            with_float(dy, [&](auto zero) {
                using T = decltype(zero);
                kernels::activation_backward(activation, dy.numel(), y->template data<T>(), dy.data<T>(),
                                             passed.mutable_data<T>());
            });
            dy = passed;
        }
        return Gradients{a_needs ? sum_to(dy, a_shape) : Tensor{}, b_needs ? sum_to(dy, b_shape) : Tensor{}};
    };
    auto attributes = [&] { return Attributes{{"activation", std::string(name_of(activation))}}; };
    return record("add", {&a, &b}, y, std::move(backward), attributes);
}

namespace row {
OpInfo add() {
    return {.name = "add",
            .min_inputs = 2,
            .max_inputs = 2,
            .attributes = {activation_spec()},
            .run = [](const Attributes& a, Inputs x, Mode) { return ops::add(x[0], x[1], activation_of(a)); },
            .shape = [](const Attributes&, Shapes x) { return kernels::broadcast("add", x[0], x[1]).shape; },
            .traits = {.elementwise = true, .per_channel = true, .any_layout = true},
            .channels = ChannelRule::elementwise,
            .adds = true};
}
}  // namespace row

}  // namespace lathe::ops
