#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// Looks rows up: y[.., :] = weight[indices[..], :].   indices i32 [..], weight [V, D]  ->  y [.., D]
// Error: an index is outside [0, V).
Variable embedding(const Tensor& indices, const Variable& weight);

}  // namespace lathe::ops
