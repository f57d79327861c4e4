#pragma once
#include <cmath>
#include <cstdint>

namespace lathe::kernels::portable {

template <class T>
struct LayerNorm {
    static void forward(int64_t rows, int64_t width, const T* x, const T* weight, const T* bias, T eps, T* y, T* mean,
                        T* inv_std) {
        for (int64_t i = 0; i < rows; ++i, x += width, y += width) {
            T sum = 0, squares = 0;
            for (int64_t j = 0; j < width; ++j) sum += x[j];
            mean[i] = sum / static_cast<T>(width);
            for (int64_t j = 0; j < width; ++j) squares += (x[j] - mean[i]) * (x[j] - mean[i]);
            inv_std[i] = 1 / std::sqrt(squares / static_cast<T>(width) + eps);
            for (int64_t j = 0; j < width; ++j) y[j] = (x[j] - mean[i]) * inv_std[i] * weight[j] + bias[j];
        }
    }

    static void backward(int64_t rows, int64_t width, const T* x, const T* dy, const T* weight, const T* mean,
                         const T* inv_std, T* dx, T* dweight, T* dbias) {
        for (int64_t i = 0; i < rows; ++i, x += width, dy += width, dx += width) {
            T sum = 0, product = 0;
            for (int64_t j = 0; j < width; ++j) {
                const T h = (x[j] - mean[i]) * inv_std[i], g = dy[j] * weight[j];
                sum += g;
                product += g * h;
            }
            sum /= static_cast<T>(width);
            product /= static_cast<T>(width);
            for (int64_t j = 0; j < width; ++j) {
                const T h = (x[j] - mean[i]) * inv_std[i], d = dy[j];
                dweight[j] += d * h;
                dbias[j] += d;
                dx[j] = inv_std[i] * (d * weight[j] - sum - h * product);
            }
        }
    }
};

}  // namespace lathe::kernels::portable
