#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// y = factor x, of any shape.
Variable scale(const Variable& x, double factor);

// The same on plain tensors.
Tensor scaled(const Tensor& x, double factor);

}  // namespace lathe::ops
