#pragma once
#include <vector>

#include "lathe/core/kernels/sparse/pattern.h"
#include "lathe/core/tensor.h"

namespace lathe {

// What a kernel may use of a weight beside its values: where they are zero for good, and the small numbers that they
// were made of. Of the values' shape are the mask, integers and indices; each may be empty. With integers
//     value = scale * (integer - zero_point), with a codebook value = scale * codebook[index],
// but for those that the mask makes zero.
struct Lowered {
    Tensor mask{};               // u8: 0 where a value is zero
    kernels::Pattern pattern{};  // of the mask
    Tensor integers{};           // i8 or u8
    Tensor indices{};            // u8, of entries in the codebook
    Tensor codebook{};           // f32 [entries]
    Tensor scale{};              // f32 [1], or [extent] along `axis`; empty: 1
    Tensor zero_point{};         // i32, like the scale; empty: 0
    int axis = -1;

    // Of the values with slice k along the first axis multiplied by factors[k]. Integers whose scale lies along another
    // axis are lost: no scale is theirs then.
    Lowered scaled(const std::vector<double>& factors) const;
};

}  // namespace lathe
