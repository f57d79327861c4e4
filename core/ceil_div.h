#pragma once
#include <cstdint>

namespace lathe {

// count / size, rounded up: how many pieces of `size` cover `count`, the last maybe shorter. Not for kernels'
// variants.inc: the function is shared by files compiled for different instruction sets.
inline int64_t ceil_div(int64_t count, int64_t size) { return (count + size - 1) / size; }

}  // namespace lathe
