#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// The mean over all elements of (x - target)^2.   x and target (a constant) of one shape  ->  a single number.
// Error: the shapes differ or there are no elements.
Variable mse(const Variable& x, const Tensor& target);

}  // namespace lathe::ops
