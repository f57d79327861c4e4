#pragma once
#include "lathe/core/ops/fused.h"
#include "lathe/core/variable.h"

namespace lathe::ops {

// y = a + b, or max(a + b, 0) in the same pass when the activation is relu, with NumPy's broadcasting.
// Error: the shapes do not broadcast.
Variable add(const Variable& a, const Variable& b, Activation activation = Activation::none);

}  // namespace lathe::ops
