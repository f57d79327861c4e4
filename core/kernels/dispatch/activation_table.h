#pragma once
#include <cstdint>

#include "lathe/core/activation.h"

namespace lathe::kernels {

// Elementwise over n contiguous floats; y may be x, dx may be dy or saved.
struct ActivationTable {
    void (*forward)(Activation activation, int64_t n, const float* x, float* y);
    void (*backward)(Activation activation, int64_t n, const float* saved, const float* dy, float* dx);
};

}  // namespace lathe::kernels
