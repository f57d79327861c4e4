#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// y = a - b, with NumPy's broadcasting. Error: the shapes do not broadcast.
Variable sub(const Variable& a, const Variable& b);

}  // namespace lathe::ops
