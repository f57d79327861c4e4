#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// The sum or mean of all elements, a single number (shape []).
Variable sum(const Variable& x);
Variable mean(const Variable& x);  // Error: no elements

// Along one axis, which is dropped from the shape, or kept with extent 1 when keep_axis.
// x [.., n, ..]  ->  y [.., ..].   Error: the axis is out of range; mean of none.
Variable sum(const Variable& x, int axis, bool keep_axis = false);
Variable mean(const Variable& x, int axis, bool keep_axis = false);

// Adds x up over the axes along which `shape` was repeated to give x's shape: the backward of broadcasting.
Tensor sum_to(const Tensor& x, const Shape& shape);

}  // namespace lathe::ops
