#pragma once
#include <algorithm>
#include <limits>

#include "lathe/core/kernels/pool2d.h"

namespace lathe::kernels::portable {

// The part of a window that lies inside the image: taps [r_begin, r_end) x [s_begin, s_end); tap (r, s) is the pixel
// (top + r, left + s).
struct Window {
    int64_t top, left, r_begin, r_end, s_begin, s_end;

    Window(const Pool2dShape& g, int64_t p, int64_t q)
        : top(p * g.stride_h - g.pad_top), left(q * g.stride_w - g.pad_left),
          r_begin(std::max<int64_t>(0, -top)), r_end(std::min(g.kernel_h, g.in_h - top)),
          s_begin(std::max<int64_t>(0, -left)), s_end(std::min(g.kernel_w, g.in_w - left)) {}

    int64_t divisor(const Pool2dShape& g) const {
        return g.count_padding ? g.kernel_h * g.kernel_w : (r_end - r_begin) * (s_end - s_begin);
    }
};

// Row p of the result of one image. `x` is the image [H, W, C], `y` and `index` the row [Q, C].
template <class T, class Index>
void max_pool_row(const Pool2dShape& g, int64_t p, const T* x, T* y, Index* index) {
    for (int64_t q = 0; q < g.out_w; ++q) {
        const Window window(g, p, q);
        for (int64_t c = 0; c < g.channels; ++c) {
            T best = -std::numeric_limits<T>::infinity();
            int64_t place = window.r_begin * g.kernel_w + window.s_begin;
            for (int64_t r = window.r_begin; r < window.r_end; ++r)
                for (int64_t s = window.s_begin; s < window.s_end; ++s) {
                    const T v = x[((window.top + r) * g.in_w + window.left + s) * g.channels + c];
                    if (v > best || v != v) best = v, place = r * g.kernel_w + s;
                }
            y[q * g.channels + c] = best;
            if (index) index[q * g.channels + c] = static_cast<Index>(place);
        }
    }
}

// Adds the gradient of row p of the result to that of the image.
template <class T, class Index>
void max_pool_row_backward(const Pool2dShape& g, int64_t p, const T* dy, const Index* index, T* dx) {
    for (int64_t q = 0; q < g.out_w; ++q) {
        const Window window(g, p, q);
        for (int64_t c = 0; c < g.channels; ++c) {
            const int64_t place = index[q * g.channels + c], r = place / g.kernel_w, s = place % g.kernel_w;
            dx[((window.top + r) * g.in_w + window.left + s) * g.channels + c] += dy[q * g.channels + c];
        }
    }
}

template <class T>
void avg_pool_row(const Pool2dShape& g, int64_t p, const T* x, T* y) {
    for (int64_t q = 0; q < g.out_w; ++q) {
        const Window window(g, p, q);
        const T factor = T(1) / static_cast<T>(window.divisor(g));
        for (int64_t c = 0; c < g.channels; ++c) {
            T sum = 0;
            for (int64_t r = window.r_begin; r < window.r_end; ++r)
                for (int64_t s = window.s_begin; s < window.s_end; ++s)
                    sum += x[((window.top + r) * g.in_w + window.left + s) * g.channels + c];
            y[q * g.channels + c] = sum * factor;
        }
    }
}

template <class T>
void avg_pool_row_backward(const Pool2dShape& g, int64_t p, const T* dy, T* dx) {
    for (int64_t q = 0; q < g.out_w; ++q) {
        const Window window(g, p, q);
        const T factor = T(1) / static_cast<T>(window.divisor(g));
        for (int64_t r = window.r_begin; r < window.r_end; ++r)
            for (int64_t s = window.s_begin; s < window.s_end; ++s)
                for (int64_t c = 0; c < g.channels; ++c)
                    dx[((window.top + r) * g.in_w + window.left + s) * g.channels + c] += dy[q * g.channels + c] * factor;
    }
}

// y = factor * sum over the rows of x [pixels, channels].
template <class T>
void mean_rows(int64_t pixels, int64_t channels, const T* x, T factor, T* y) {
    for (int64_t c = 0; c < channels; ++c) {
        T sum = 0;
        for (int64_t i = 0; i < pixels; ++i) sum += x[i * channels + c];
        y[c] = sum * factor;
    }
}

}  // namespace lathe::kernels::portable
