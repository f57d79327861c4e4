#pragma once
#include "lathe/core/activation.h"
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// y = x W^T + b.   x [..., in], weight [out, in], bias [out] or empty  ->  y [..., out]
// Error: weight's in differs from x's, or bias's length from out.
Variable linear(const Variable& x, const Variable& weight, const Variable& bias = {});

// y = activation(x W^T + b + addend), the activation none, relu or relu6: what fold makes of a linear layer with what
// follows it. The addend has y's shape or is empty. Error: as linear, or another activation.
Variable linear_fused(const Variable& x, const Variable& weight, const Variable& bias, const Variable& addend,
                      Activation activation);

}  // namespace lathe::ops
