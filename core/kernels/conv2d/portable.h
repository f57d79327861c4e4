#pragma once
#include <algorithm>

#include "lathe/core/kernels/conv2d/shape.h"
#include "lathe/core/parallel.h"

// The definition of convolution in plain loops: what float64 runs and what the fast kernels are tested against.
namespace lathe::kernels::portable {

// Calls body(h, w, r, s) for the input pixel and the kernel tap behind every product of output pixel (p, q).
template <class Body>
void for_each_tap(const Conv2dShape& g, int64_t p, int64_t q, const Body& body) {
    for (int64_t r = 0; r < g.kernel_h; ++r) {
        const int64_t h = p * g.stride_h - g.pad_top + r * g.dilation_h;
        if (h < 0 || h >= g.in_h) continue;
        for (int64_t s = 0; s < g.kernel_w; ++s) {
            const int64_t w = q * g.stride_w - g.pad_left + s * g.dilation_w;
            if (w >= 0 && w < g.in_w) body(h, w, r, s);
        }
    }
}

// y [N, P, Q, K] = bias [K] + sum over r, s, c of x [N, H, W, C] weight [K, R, S, C/G]; group g of the output channels
// sees group g of the input channels.
template <class T>
void conv2d_forward(const Conv2dShape& g, const T* x, const T* weight, const T* bias, T* y) {
    const int64_t c_group = g.in_c / g.groups, k_group = g.out_c / g.groups;
    parallel_for(g.batch * g.out_h, 1, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row)
            for (int64_t q = 0; q < g.out_w; ++q)
                for (int64_t k = 0; k < g.out_c; ++k) {
                    T total = bias ? bias[k] : T(0);
                    for_each_tap(g, row % g.out_h, q, [&](int64_t h, int64_t w, int64_t r, int64_t s) {
                        const T* in = x + ((row / g.out_h * g.in_h + h) * g.in_w + w) * g.in_c + k / k_group * c_group;
                        const T* tap = weight + ((k * g.kernel_h + r) * g.kernel_w + s) * c_group;
                        for (int64_t c = 0; c < c_group; ++c) total += in[c] * tap[c];
                    });
                    y[(row * g.out_w + q) * g.out_c + k] = total;
                }
    });
}

// dx [N, H, W, C]: each pixel collects dy [N, P, Q, K] times the tap through which it was seen.
template <class T>
void conv2d_backward_input(const Conv2dShape& g, const T* dy, const T* weight, T* dx) {
    const int64_t c_group = g.in_c / g.groups, k_group = g.out_c / g.groups, image = g.in_h * g.in_w * g.in_c;
    parallel_for(g.batch, 1, [&](int64_t begin, int64_t end) {
        std::fill(dx + begin * image, dx + end * image, T(0));
        for (int64_t pixel = begin * g.out_h * g.out_w; pixel < end * g.out_h * g.out_w; ++pixel) {
            const int64_t n = pixel / (g.out_h * g.out_w), p = pixel / g.out_w % g.out_h, q = pixel % g.out_w;
            for_each_tap(g, p, q, [&](int64_t h, int64_t w, int64_t r, int64_t s) {
                for (int64_t k = 0; k < g.out_c; ++k) {
                    T* out = dx + ((n * g.in_h + h) * g.in_w + w) * g.in_c + k / k_group * c_group;
                    const T* tap = weight + ((k * g.kernel_h + r) * g.kernel_w + s) * c_group;
                    for (int64_t c = 0; c < c_group; ++c) out[c] += dy[pixel * g.out_c + k] * tap[c];
                }
            });
        }
    });
}

// dweight [K, R, S, C/G]: each tap collects dy [N, P, Q, K] times the pixel that it saw.
template <class T>
void conv2d_backward_weight(const Conv2dShape& g, const T* x, const T* dy, T* dweight) {
    const int64_t c_group = g.in_c / g.groups, k_group = g.out_c / g.groups, filter = g.kernel_h * g.kernel_w * c_group;
    parallel_for(g.out_c, 1, [&](int64_t begin, int64_t end) {
        std::fill(dweight + begin * filter, dweight + end * filter, T(0));
        for (int64_t pixel = 0; pixel < g.batch * g.out_h * g.out_w; ++pixel) {
            const int64_t n = pixel / (g.out_h * g.out_w), p = pixel / g.out_w % g.out_h, q = pixel % g.out_w;
            for_each_tap(g, p, q, [&](int64_t h, int64_t w, int64_t r, int64_t s) {
                for (int64_t k = begin; k < end; ++k) {
                    const T* in = x + ((n * g.in_h + h) * g.in_w + w) * g.in_c + k / k_group * c_group;
                    T* tap = dweight + ((k * g.kernel_h + r) * g.kernel_w + s) * c_group;
                    for (int64_t c = 0; c < c_group; ++c) tap[c] += dy[pixel * g.out_c + k] * in[c];
                }
            });
        }
    });
}

}  // namespace lathe::kernels::portable
