#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// While training, sets each element to zero with probability p and multiplies the others by 1 / (1 - p); otherwise x
// itself (Srivastava et al. 2014, inverted). Which ones follows from the next two numbers of global_random(), for any
// number of threads. Error: p is outside [0, 1).
Variable dropout(const Variable& x, double p, bool training);

}  // namespace lathe::ops
