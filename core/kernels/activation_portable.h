#pragma once
#include <cstdint>

namespace lathe::kernels::portable {

template <class T>
void relu_forward(int64_t n, const T* x, T* y) {
    for (int64_t i = 0; i < n; ++i) y[i] = x[i] < 0 ? T(0) : x[i];
}

template <class T>
void relu_backward(int64_t n, const T* y, const T* dy, T* dx) {
    for (int64_t i = 0; i < n; ++i) dx[i] = y[i] > 0 ? dy[i] : T(0);
}

}  // namespace lathe::kernels::portable
