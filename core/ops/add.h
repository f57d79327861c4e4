#pragma once
#include "lathe/core/activation.h"
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// y = activation(a + b) in one pass, the activation none or relu, with NumPy's broadcasting.
// Error: the shapes do not broadcast, or another activation.
Variable add(const Variable& a, const Variable& b, Activation activation = Activation::none);

}  // namespace lathe::ops
