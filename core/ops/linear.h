#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// y = x W^T + b.   x [..., in], weight [out, in], bias [out] or empty  ->  y [..., out]
// Error: weight's in differs from x's, or bias's length from out.
Variable linear(const Variable& x, const Variable& weight, const Variable& bias = {});

}  // namespace lathe::ops
