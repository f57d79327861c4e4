#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// The same elements under another shape, without a copy. One extent may be -1: it follows from the others; one of 0 is
// that of x at the same place. A graph keeps the first extent as 0 where it is x's and, unless there is a -1, the last
// as -1, so that it holds for any batch and after channels were cut. Error: the counts of elements differ.
Variable reshape(const Variable& x, const std::vector<int64_t>& shape);

// x [N, ...]  ->  [N, rest]: every axis from `start_axis` on becomes one.
Variable flatten(const Variable& x, int start_axis = 1);

}  // namespace lathe::ops
