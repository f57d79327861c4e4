#pragma once
#include <vector>

#include "lathe/core/tensor.h"

namespace lathe::compress {

// The fewest bits of 2, 4 and 8 that hold all of some integers (i8).
int bits_for(const Tensor& integers);

// Weights of 2 or 4 bits lie side by side in bytes along the last axis, the first in the lowest bits; each row begins
// with a byte.  i8 [.., width] -> u8 [.., ceil(width bits / 8)]; and back, in the same order.
Tensor pack(const Tensor& integers, int bits);
std::vector<int8_t> unpack(const Tensor& packed, int64_t width, int bits);

}  // namespace lathe::compress
