#pragma once
#include <cmath>
#include <cstdint>

#include "lathe/core/activation.h"

namespace lathe::kernels::portable {

template <class T>
T clamp(T x, T low, T high) {
    return x < low ? low : x > high ? high : x;  // a NaN stays a NaN
}

template <class T>
T activate(Activation activation, T x) {
    switch (activation) {
        case Activation::none: return x;
        case Activation::relu: return x < 0 ? T(0) : x;
        case Activation::relu6: return clamp(x, T(0), T(6));
        case Activation::hard_swish: return x * clamp(x + 3, T(0), T(6)) / 6;
        case Activation::hard_sigmoid: return clamp(x + 3, T(0), T(6)) / 6;
        case Activation::sigmoid: return 1 / (1 + std::exp(-x));
        case Activation::tanh: return std::tanh(x);
        case Activation::gelu: return x * std::erfc(-x * T(M_SQRT1_2)) / 2;
    }
    return x;
}

// dy/dx, from x for hard_swish and gelu, from y for hard_sigmoid, sigmoid and tanh; from either for relu and relu6.
template <class T>
T derivative(Activation activation, T saved) {
    switch (activation) {
        case Activation::none: return 1;
        case Activation::relu: return saved > 0 ? T(1) : T(0);
        case Activation::relu6: return saved > 0 && saved < 6 ? T(1) : T(0);
        case Activation::hard_swish: return saved < -3 ? T(0) : saved <= 3 ? saved / 3 + T(0.5) : T(1);
        case Activation::hard_sigmoid: return saved > 0 && saved < 1 ? T(1) / 6 : T(0);
        case Activation::sigmoid: return saved * (1 - saved);
        case Activation::tanh: return 1 - saved * saved;
        case Activation::gelu:
            return std::erfc(-saved * T(M_SQRT1_2)) / 2 +
                   saved * std::exp(-saved * saved / 2) * T(M_SQRT1_2 * M_2_SQRTPI / 2);
    }
    return 1;
}

template <class T>
void activation_forward(Activation activation, int64_t n, const T* x, T* y) {
    for (int64_t i = 0; i < n; ++i) y[i] = activate(activation, x[i]);
}

template <class T>
void activation_backward(Activation activation, int64_t n, const T* saved, const T* dy, T* dx) {
    for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * derivative(activation, saved[i]);
}

}  // namespace lathe::kernels::portable
