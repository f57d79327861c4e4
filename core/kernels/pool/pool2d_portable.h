#pragma once
#include <limits>

#include "lathe/core/kernels/dispatch/pool2d_table.h"

namespace lathe::kernels::portable {

// Calls f(offset in the image, offset in the result, place) for every pixel of every window.
template <class F>
void for_each_pixel(const PoolWindows& w, F&& f) {
    for (int64_t i = 0; i < w.count; ++i)
        for (int64_t r = 0; r < w.rows; ++r)
            for (int64_t s = 0; s < w.cols; ++s)
                f(i * w.x_step + r * w.x_row + s * w.channels, i * w.channels, w.place + r * w.place_row + s);
}

template <class T, class Index>
struct Pool2d {
    static void max(const PoolWindows& w, const T* x, T* y, Index* index) {
        for (int64_t i = 0; i < w.count * w.channels; ++i) {
            y[i] = -std::numeric_limits<T>::infinity();
            if (index) index[i] = static_cast<Index>(w.place);
        }
        for_each_pixel(w, [&](int64_t from, int64_t to, int64_t place) {
            for (int64_t c = 0; c < w.channels; ++c) {
                const T v = x[from + c];
                if (!(v > y[to + c] || v != v)) continue;
                y[to + c] = v;
                if (index) index[to + c] = static_cast<Index>(place);
            }
        });
    }

    static void max_backward(const PoolWindows& w, const T* dy, const Index* index, T* dx) {
        for_each_pixel(w, [&](int64_t to, int64_t from, int64_t place) {
            for (int64_t c = 0; c < w.channels; ++c)
                dx[to + c] = (w.add ? dx[to + c] : 0) + (index[from + c] == place ? dy[from + c] : 0);
        });
    }

    static void mean(const PoolWindows& w, const T* x, T factor, T* y) {
        for (int64_t i = 0; i < w.count * w.channels; ++i) y[i] = 0;
        for_each_pixel(w, [&](int64_t from, int64_t to, int64_t) {
            for (int64_t c = 0; c < w.channels; ++c) y[to + c] += factor * x[from + c];
        });
    }

    static void mean_backward(const PoolWindows& w, const T* dy, T factor, T* dx) {
        for_each_pixel(w, [&](int64_t to, int64_t from, int64_t) {
            for (int64_t c = 0; c < w.channels; ++c) dx[to + c] = (w.add ? dx[to + c] : 0) + factor * dy[from + c];
        });
    }
};

}  // namespace lathe::kernels::portable
