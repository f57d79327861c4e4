#pragma once
#include <vector>

#include "lathe/core/kernels/conv2d/shape.h"

// Convolution with sparse weights in plain loops: what the kernels of this family do, and what they are tested against.
namespace lathe::kernels::portable {

// A weight other than zero of one output channel: the kernel tap and the input channel that it meets.
template <class T>
struct Nonzero {
    int64_t r, s, c;
    T value;
};

// Those of output channel k, in the order of memory. weight: [K, R, S, C/G].
template <class T>
std::vector<Nonzero<T>> nonzeros_of(const Conv2dShape& g, const T* weight, int64_t k) {
    const int64_t c_group = g.in_c / g.groups, first = k / (g.out_c / g.groups) * c_group;
    std::vector<Nonzero<T>> found;
    for (int64_t r = 0; r < g.kernel_h; ++r)
        for (int64_t s = 0; s < g.kernel_w; ++s)
            for (int64_t c = 0; c < c_group; ++c)
                if (const T value = weight[((k * g.kernel_h + r) * g.kernel_w + s) * c_group + c]; value != 0)
                    found.push_back({r, s, first + c, value});
    return found;
}

// y [N, P, Q, K] = conv(x [N, H, W, C], weight) + bias [K] (may be null). A weight of zero costs nothing, in time or
// memory: each of the others is multiplied with one plane of x, shifted to its tap, and the products are added to one
// plane of y.
template <class T>
void sparse_conv2d(const Conv2dShape& g, const T* x, const T* weight, const T* bias, T* y) {
    for (int64_t k = 0; k < g.out_c; ++k) {
        for (int64_t i = 0; i < g.batch * g.out_h * g.out_w; ++i) y[i * g.out_c + k] = bias ? bias[k] : T(0);
        for (const Nonzero<T>& w : nonzeros_of(g, weight, k))
            for (int64_t n = 0; n < g.batch; ++n)
                for (int64_t p = 0; p < g.out_h; ++p)
                    for (int64_t q = 0; q < g.out_w; ++q) {
                        const int64_t row = p * g.stride_h - g.pad_top + w.r * g.dilation_h;
                        const int64_t column = q * g.stride_w - g.pad_left + w.s * g.dilation_w;
                        if (row < 0 || row >= g.in_h || column < 0 || column >= g.in_w) continue;
                        T& sum = y[((n * g.out_h + p) * g.out_w + q) * g.out_c + k];
                        sum += w.value * x[((n * g.in_h + row) * g.in_w + column) * g.in_c + w.c];
                    }
    }
}

}  // namespace lathe::kernels::portable
