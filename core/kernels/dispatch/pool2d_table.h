#pragma once
#include <cstdint>

namespace lathe::kernels {

// Neighbouring pooling windows of one row, or rather the pixels of each that lie inside the image: rows x cols of them,
// each `channels` contiguous values, one row `x_row` elements after the other. The next window is `x_step` elements
// further on in the image, `channels` in the result. A place numbers a window's pixels, padding included: that of the
// first pixel is `place`, one row further down it is `place_row` more.
struct PoolWindows {
    int64_t channels, rows, cols, x_row;
    int64_t count = 1, x_step = 0;
    int64_t place = 0, place_row = 0;
    bool add = true;  // backward adds to dx; else overwrites it
};

// x and dx point to the first pixel of the first window, y, dy and index to its result.
struct Pool2dTable {
    // y = the largest value, index = its place; index may be null.
    void (*max)(const PoolWindows& windows, const float* x, float* y, uint8_t* index);
    // dx = dy at the place that index names, 0 elsewhere in the window.
    void (*max_backward)(const PoolWindows& windows, const float* dy, const uint8_t* index, float* dx);
    // y = factor * sum of the window.
    void (*mean)(const PoolWindows& windows, const float* x, float factor, float* y);
    // dx = factor * dy everywhere in the window.
    void (*mean_backward)(const PoolWindows& windows, const float* dy, float factor, float* dx);
};

}  // namespace lathe::kernels
