#pragma once
#include "lathe/core/variable.h"

namespace lathe::ops {

// y = max(x, 0), of any shape.
Variable relu(const Variable& x);

}  // namespace lathe::ops
