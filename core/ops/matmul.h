#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// y = a b for each matrix.   a [.., m, k], b [.., k, n]  ->  y [.., m, n], the leading axes broadcast like NumPy's.
// Error: the inner extents differ, an operand has fewer than two axes, or leading axes do not broadcast.
Variable matmul(const Variable& a, const Variable& b);

}  // namespace lathe::ops
