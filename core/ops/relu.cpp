#include "lathe/core/ops/relu.h"

#include "lathe/core/kernels/activation.h"

namespace lathe::ops {

Variable relu(const Variable& x) {
    Tensor y(x.shape(), x.dtype());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        kernels::relu_forward(y.numel(), x.value().data<T>(), y.mutable_data<T>());
    });
    auto backward = [y = Saved(y)](Tensor dy) {  // dx = dy where y > 0
        Tensor dx = dy.unique() ? dy : Tensor(dy.shape(), dy.dtype());
        with_float(dy, [&](auto zero) {
            using T = decltype(zero);
            kernels::relu_backward(dy.numel(), y->template data<T>(), dy.data<T>(), dx.mutable_data<T>());
        });
        return Gradients{dx};
    };
    return record("relu", {&x}, y, std::move(backward));
}

}  // namespace lathe::ops
