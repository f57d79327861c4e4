#include "lathe/core/ops/activation.h"

#include "lathe/core/kernels/rows/activation.h"

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

}  // namespace lathe::ops
