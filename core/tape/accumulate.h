#pragma once
#include "lathe/core/tensor.h"

namespace lathe {

// total += part, element by element; in place when nobody else shares total's storage. Error: shapes or types differ.
void accumulate(Tensor& total, Tensor part);

}  // namespace lathe
