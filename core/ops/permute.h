#pragma once
#include <vector>

#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// Axes in another order: axis i of y is axis axes[i] of x. permute(x, {0, 3, 1, 2}) turns NHWC into NCHW.
// Error: `axes` is not an order of x's axes.
Variable permute(const Variable& x, const std::vector<int>& axes);

}  // namespace lathe::ops
