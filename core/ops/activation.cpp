#include "lathe/core/ops/activation.h"

#include "lathe/core/kernels/rows/activation.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

Variable activation(const Variable& x, Activation activation) {
    if (activation == Activation::none) return x;
    Tensor y(x.shape(), x.dtype());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        kernels::activation_forward(activation, y.numel(), x.value().data<T>(), y.mutable_data<T>());
    });
    Saved saved = kernels::derivative_needs_input(activation) ? Saved(x) : Saved(y);
    auto backward = [activation, saved = std::move(saved)](Tensor dy) {  // dx = dy activation'
        Tensor dx = dy.unique() ? dy : Tensor(dy.shape(), dy.dtype());
        with_float(dy, [&](auto zero) {
            using T = decltype(zero);
            kernels::activation_backward(activation, dy.numel(), saved->data<T>(), dy.data<T>(), dx.mutable_data<T>());
        });
        return Gradients{dx};
    };
    return record(name_of(activation), {&x}, std::move(y), std::move(backward));
}

Variable relu(const Variable& x) { return activation(x, Activation::relu); }
Variable relu6(const Variable& x) { return activation(x, Activation::relu6); }
Variable hard_swish(const Variable& x) { return activation(x, Activation::hard_swish); }
Variable hard_sigmoid(const Variable& x) { return activation(x, Activation::hard_sigmoid); }
Variable sigmoid(const Variable& x) { return activation(x, Activation::sigmoid); }
Variable tanh(const Variable& x) { return activation(x, Activation::tanh); }
Variable gelu(const Variable& x) { return activation(x, Activation::gelu); }

namespace row {
namespace {

template <Activation kind>
OpInfo of(Traits traits) {
    traits.elementwise = traits.per_channel = traits.any_layout = true;
    return {.name = name_of(kind),
            .run = [](const Attributes&, Inputs x, Mode) { return ops::activation(x[0], kind); },
            .shape = same_shape,
            .traits = traits,
            .channels = ChannelRule::same,
            .activation = kind};
}

}  // namespace

OpInfo relu() { return of<Activation::relu>({.monotone = true, .keeps_zero = true}); }
OpInfo relu6() { return of<Activation::relu6>({.monotone = true, .keeps_zero = true}); }
OpInfo hard_swish() { return of<Activation::hard_swish>({.keeps_zero = true}); }
OpInfo hard_sigmoid() { return of<Activation::hard_sigmoid>({.monotone = true}); }
OpInfo sigmoid() { return of<Activation::sigmoid>({.monotone = true}); }
OpInfo tanh() { return of<Activation::tanh>({.monotone = true, .keeps_zero = true}); }
OpInfo gelu() { return of<Activation::gelu>({.keeps_zero = true}); }
}  // namespace row

}  // namespace lathe::ops
