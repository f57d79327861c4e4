#pragma once
#include <cstdint>

namespace lathe::kernels {

// Elementwise over n contiguous elements; y may be x, dx may be dy.
// relu: y = max(x, 0);  dx = dy where y > 0, else 0.
void relu_forward(int64_t n, const float* x, float* y);
void relu_forward(int64_t n, const double* x, double* y);
void relu_backward(int64_t n, const float* y, const float* dy, float* dx);
void relu_backward(int64_t n, const double* y, const double* dy, double* dx);

}  // namespace lathe::kernels
