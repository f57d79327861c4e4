#pragma once
#include <cstdint>

#include "lathe/core/activation.h"

namespace lathe::kernels {

// Elementwise over n contiguous elements of float or double; y may be x.
template <class T>
void activation_forward(Activation activation, int64_t n, const T* x, T* y);

// dx = dy * derivative; dx may be dy. `saved` is x if derivative_needs_input, else y.
template <class T>
void activation_backward(Activation activation, int64_t n, const T* saved, const T* dy, T* dx);

constexpr bool derivative_needs_input(Activation activation) {
    return activation == Activation::hard_swish || activation == Activation::gelu;
}

}  // namespace lathe::kernels
