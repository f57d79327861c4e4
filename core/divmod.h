#pragma once
#include <cstdint>

namespace lathe {

// The two indices behind a flat one: i = quotient * size + remainder, the outer and the inner of two nested loops. Not
// for kernels' variants.inc: the function is shared by files compiled for different instruction sets.
struct DivMod {
    int64_t quotient, remainder;
};
inline DivMod divmod(int64_t i, int64_t size) { return {i / size, i % size}; }

}  // namespace lathe
