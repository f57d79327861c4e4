#pragma once
#include "lathe/core/tensor.h"

namespace lathe::nn {

// Small integers side by side: bits [i * bits, (i + 1) * bits) of the bytes are those of element i, the lowest first;
// what is left of the last byte is 0.   i8 or u8 of any shape  ->  u8 [bytes]
Tensor pack_bits(const Tensor& integers, int bits);
// And back, for i8 with the sign. Error: bits outside 1..8, another number of bytes than the shape needs.
Tensor unpack_bits(const Tensor& bytes, int bits, const Shape& shape, DType dtype);

}  // namespace lathe::nn
