#include "lathe/core/ops/detail/fused.h"

#include <algorithm>

#include "lathe/core/graph/op_table.h"
#include "lathe/core/kernels/rows/activation.h"
#include "lathe/core/tape/accumulate.h"

namespace lathe::ops {

void check_fused(const char* op, const Shape& result, const Shape& addend, Activation activation) {
    check(activation == Activation::none || activation == Activation::relu || activation == Activation::relu6, op,
          ": expected the activation none, relu or relu6, got ", name_of(activation));
    check(is_absent(addend) || addend == result, op, ": expected an addend like the result ", result, ", got ", addend);
}

kernels::Epilogue epilogue_of(Activation activation, bool accumulate) {
    kernels::Epilogue end{.accumulate = accumulate};
    if (activation != Activation::none) end.low = 0;
    if (activation == Activation::relu6) end.high = 6;
    return end;
}

Tensor finished(Tensor sum, const Variable& addend, Activation activation) {
    if (addend) accumulate(sum, addend.value());
    if (activation == Activation::none) return sum;
    with_float(sum, [&](auto zero) {
        using T = decltype(zero);
        const T* from = sum.data<T>();
        kernels::activation_forward(activation, sum.numel(), from, sum.mutable_data<T>());
    });
    return sum;
}

FusedBackward::FusedBackward(const Tensor& y, const Variable& addend, Activation activation)
    : y_(y, activation != Activation::none), activation_(activation), addend_needs_(addend.requires_grad()) {}

Tensor FusedBackward::through_activation(Tensor dy) const {
    if (activation_ == Activation::none) return dy;
    Tensor dz(dy.shape(), dy.dtype());
    with_float(dy, [&](auto zero) {
        using T = decltype(zero);
        kernels::activation_backward(activation_, dy.numel(), y_->data<T>(), dy.data<T>(), dz.mutable_data<T>());
    });
    return dz;
}

Gradients FusedBackward::with_addend(Gradients of_layer, const Tensor& dy) const {
    of_layer.push_back(addend_needs_ ? dy : Tensor{});
    return of_layer;
}

}  // namespace lathe::ops
