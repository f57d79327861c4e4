#pragma once
#include <limits>

#include "lathe/core/kernels/pool2d_table.h"

namespace lathe::kernels::portable {

// Calls f(offset of the pixel, its place) for every pixel of the window.
template <class F>
void for_each_pixel(const PoolWindow& w, F&& f) {
    for (int64_t r = 0; r < w.rows; ++r)
        for (int64_t s = 0; s < w.cols; ++s) f(r * w.x_row + s * w.channels, w.place + r * w.place_row + s);
}

template <class T, class Index>
struct Pool2d {
    static void max(const PoolWindow& w, const T* x, T* y, Index* index) {
        for (int64_t c = 0; c < w.channels; ++c) {
            T best = -std::numeric_limits<T>::infinity();
            Index at = static_cast<Index>(w.place);
            for_each_pixel(w, [&](int64_t offset, int64_t place) {
                const T v = x[offset + c];
                if (v > best || v != v) best = v, at = static_cast<Index>(place);
            });
            y[c] = best;
            if (index) index[c] = at;
        }
    }

    static void max_backward(const PoolWindow& w, const T* dy, const Index* index, T* dx) {
        for_each_pixel(w, [&](int64_t offset, int64_t place) {
            for (int64_t c = 0; c < w.channels; ++c)
                if (index[c] == place) dx[offset + c] += dy[c];
        });
    }

    static void mean(const PoolWindow& w, const T* x, T factor, T* y) {
        for (int64_t c = 0; c < w.channels; ++c) {
            T sum = 0;
            for_each_pixel(w, [&](int64_t offset, int64_t) { sum += x[offset + c]; });
            y[c] = factor * sum;
        }
    }

    static void mean_backward(const PoolWindow& w, const T* dy, T factor, T* dx) {
        for_each_pixel(w, [&](int64_t offset, int64_t) {
            for (int64_t c = 0; c < w.channels; ++c) dx[offset + c] += factor * dy[c];
        });
    }
};

}  // namespace lathe::kernels::portable
