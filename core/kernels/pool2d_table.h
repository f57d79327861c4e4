#pragma once
#include <cstdint>

namespace lathe::kernels {

// The pixels of one pooling window that lie inside the image: rows x cols of them, each `channels` contiguous values, one
// row `x_row` elements after the other. Place counts the window's pixels, padding included: that of the first pixel is
// `place`, one row further down it is `place_row` more.
struct PoolWindow {
    int64_t channels, rows, cols, x_row;
    int64_t place = 0, place_row = 0;
};

// x points to the window's first pixel, y to the result's.
struct Pool2dTable {
    // y = the largest value, index = its place; index may be null.
    void (*max)(const PoolWindow& window, const float* x, float* y, uint8_t* index);
    // dx += dy at the place that index names.
    void (*max_backward)(const PoolWindow& window, const float* dy, const uint8_t* index, float* dx);
    // y = factor * sum of the window.
    void (*mean)(const PoolWindow& window, const float* x, float factor, float* y);
    // dx += factor * dy everywhere in the window.
    void (*mean_backward)(const PoolWindow& window, const float* dy, float factor, float* dx);
};

}  // namespace lathe::kernels
