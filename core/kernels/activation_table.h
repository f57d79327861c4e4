#pragma once
#include <cstdint>

namespace lathe::kernels {

// Elementwise over n contiguous floats; y may be x, dx may be dy.
struct ActivationTable {
    void (*relu_forward)(int64_t n, const float* x, float* y);
    void (*relu_backward)(int64_t n, const float* y, const float* dy, float* dx);
};

}  // namespace lathe::kernels
