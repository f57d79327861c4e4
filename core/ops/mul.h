#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// y = a b, element by element, with NumPy's broadcasting: [N, H, W, C] by [N, 1, 1, C] scales channels.
// Error: the shapes do not broadcast.
Variable mul(const Variable& a, const Variable& b);

}  // namespace lathe::ops
