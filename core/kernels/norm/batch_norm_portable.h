#pragma once
#include "lathe/core/kernels/rows/activation_portable.h"
#include "lathe/core/kernels/dispatch/batch_norm_table.h"

namespace lathe::kernels::portable {

template <class T>
struct BatchNorm {
    static void moments(int64_t rows, int64_t width, const T* x, const T* shift, T* sum, T* squares) {
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t c = 0; c < width; ++c) {
                const T d = x[i * width + c] - shift[c];
                sum[c] += d;
                squares[c] += d * d;
            }
    }

    static void forward(int64_t rows, int64_t width, const T* x, const ChannelAffine<T>& a, T* y, bool /*stream*/) {
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t c = 0; c < width; ++c) {
                const int64_t at = i * width + c;
                y[at] = activate(a.activation, (x[at] - a.mean[c]) * a.scale[c] + a.bias[c]);
            }
    }

    static void sums(int64_t rows, int64_t width, const T* x, const T* dy, const ChannelAffine<T>& a, T* sum,
                     T* product) {
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t c = 0; c < width; ++c) {
                const int64_t at = i * width + c;
                const T d = x[at] - a.mean[c];
                const T dz = dy[at] * derivative(a.activation, d * a.scale[c] + a.bias[c]);
                sum[c] += dz;
                product[c] += dz * d;
            }
    }

    static void backward(int64_t rows, int64_t width, const T* x, const T* dy, const ChannelAffine<T>& a,
                  const ChannelGradient<T>& g, T* dx) {
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t c = 0; c < width; ++c) {
                const int64_t at = i * width + c;
                const T d = x[at] - a.mean[c];
                const T dz = dy[at] * derivative(a.activation, d * a.scale[c] + a.bias[c]);
                dx[at] = a.scale[c] * dz + (g.slope[c] * d + g.constant[c]);
            }
    }
};

}  // namespace lathe::kernels::portable
