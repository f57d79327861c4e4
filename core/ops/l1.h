#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// The mean over all elements of |x - target|, with gradient 0 where they are equal.   x and target (a constant) of one
// shape  ->  a single number.   Error: the shapes differ or there are no elements.
Variable l1(const Variable& x, const Tensor& target);

}  // namespace lathe::ops
