#pragma once
#include "lathe/core/activation.h"
#include "lathe/core/kernels/dispatch/epilogue.h"
#include "lathe/core/tape/variable.h"

// What layers fused with an addend and an activation share: y = activation(layer + addend).
namespace lathe::ops {

// Error: an activation other than none, relu, relu6, or an addend that is there and has another shape than the result.
void check_fused(const char* op, const Shape& result, const Shape& addend, Activation activation);

// As kernels take it, still without the bias.
kernels::Epilogue epilogue_of(Activation activation, bool accumulate);

// activation(sum + addend) by plain loops.
Tensor finished(Tensor sum, const Variable& addend, Activation activation);

class FusedBackward {
public:
    FusedBackward(const Tensor& y, const Variable& addend, Activation activation);

    Tensor through_activation(Tensor dy) const;  // dy activation'
    // The layer's own gradients and, behind them, the addend's, which is dy.
    Gradients with_addend(Gradients of_layer, const Tensor& dy) const;

private:
    Saved y_;
    Activation activation_;
    bool addend_needs_;
};

}  // namespace lathe::ops
