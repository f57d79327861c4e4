#pragma once
#include <cstdint>

namespace lathe::kernels {

// Over matrices [rows, width]; mean and inv_std hold one value a row.
struct LayerNormTable {
    // y = (x - mean) inv_std weight + bias; mean and inv_std = 1 / sqrt(variance + eps) are results, too. y may be x.
    void (*forward)(int64_t rows, int64_t width, const float* x, const float* weight, const float* bias, float eps,
                    float* y, float* mean, float* inv_std);
    // With h = (x - mean) inv_std and g = dy weight:  dx = inv_std (g - mean of g - h mean of (g h)),
    // dweight += dy h,  dbias += dy. dx may be dy.
    void (*backward)(int64_t rows, int64_t width, const float* x, const float* dy, const float* weight,
                     const float* mean, const float* inv_std, float* dx, float* dweight, float* dbias);
};

}  // namespace lathe::kernels
