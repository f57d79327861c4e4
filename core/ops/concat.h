#pragma once
#include <vector>

#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// The inputs one after another along an axis.   [.., n_i, ..] each  ->  [.., sum n_i, ..]
// Error: no input, or shapes that differ elsewhere.
Variable concat(const std::vector<Variable>& inputs, int axis);

}  // namespace lathe::ops
