#pragma once
#include <cstdint>

#include "lathe/core/activation.h"

namespace lathe::kernels {

// What batch norm does to each channel:  y = activation(z),  z = (x - mean) scale + bias.
template <class T>
struct ChannelAffine {
    const T* mean;
    const T* scale;
    const T* bias;
    Activation activation = Activation::none;  // none, relu, relu6 or hard_swish
};

// And to its gradient, with dz = dy activation'(z):  dx = scale dz + slope (x - mean) + constant.
template <class T>
struct ChannelGradient {
    const T* slope;
    const T* constant;
};

// Over matrices [rows, width], one channel a column. The sums are added to what is there.
struct BatchNormTable {
    // sum += x - shift,  squares += (x - shift)^2
    void (*moments)(int64_t rows, int64_t width, const float* x, const float* shift, float* sum, float* squares);
    // `stream` writes past the caches: y aligned to 64 bytes, width a multiple of 16.
    void (*forward)(int64_t rows, int64_t width, const float* x, const ChannelAffine<float>& affine, float* y,
                    bool stream);
    // sum += dz,  product += dz (x - mean)
    void (*sums)(int64_t rows, int64_t width, const float* x, const float* dy, const ChannelAffine<float>& affine,
                 float* sum, float* product);
    void (*backward)(int64_t rows, int64_t width, const float* x, const float* dy, const ChannelAffine<float>& affine,
                     const ChannelGradient<float>& gradient, float* dx);
};

}  // namespace lathe::kernels
