#pragma once
#include "lathe/core/random.h"
#include "lathe/core/tensor.h"
#include "lathe/tests/error_of.h"

namespace lathe::testing {

// Normal values that follow from the seed.
inline Tensor random_tensor(const Shape& shape, uint64_t seed = 0, DType dtype = DType::f32) {
    Tensor x(shape, DType::f64);
    Random random(seed);
    double* to = x.mutable_data<double>();
    for (int64_t i = 0; i < x.numel(); ++i) to[i] = random.normal();
    return x.to(dtype);
}

// Zeros and ones, about half of each.
inline Tensor random_mask(const Shape& shape, uint64_t seed = 0) {
    Tensor mask(shape, DType::u8);
    Random random(seed);
    uint8_t* to = mask.mutable_data<uint8_t>();
    for (int64_t i = 0; i < mask.numel(); ++i) to[i] = random.bits() & 1;
    return mask;
}

inline bool same(const Tensor& a, const Tensor& b) {
    if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
    for (int64_t i = 0; i < a.numel(); ++i)
        if (a.at(i) != b.at(i)) return false;
    return true;
}

// What the function says when it fails; "no error" when it does not.
template <class F>
std::string message_of(F&& f) {
    const std::string message = error_of(f);
    return message.empty() ? "no error" : message;
}

}  // namespace lathe::testing
