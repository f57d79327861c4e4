#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// Along the last axis: softmax y = exp(x) / sum exp(x), and its logarithm, neither of which overflows.
// x [.., K]  ->  y [.., K].   Error: x is a single number or K is 0.
Variable softmax(const Variable& x);
Variable log_softmax(const Variable& x);

}  // namespace lathe::ops
