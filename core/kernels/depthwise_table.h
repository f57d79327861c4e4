#pragma once
#include <cstdint>

namespace lathe::kernels {

// `pixels` neighbouring results of a depthwise correlation along a row, all with the same taps inside the image:
//   y[i][c] = bias[c] + sum over r < rows, s < taps of x[r][i * x_step + s * x_tap][c] * weight[r][s][c]
// Distances are in floats; channels are contiguous.
struct DepthwiseRow {
    int64_t channels, pixels, rows, taps;
    const float* x;
    int64_t x_row, x_step, x_tap;
    const float* weight;
    int64_t weight_row;
    const float* bias;  // may be null
    float* y;
    int64_t y_step;
    bool accumulate;  // adds what y held
    bool stream;      // y is written past the caches
    float low, high;  // y is clamped to this range
};

struct DepthwiseTable {
    void (*correlate)(const DepthwiseRow& row);
    // weight[r][s][c] += sum over i of x[...] * y[i][c], with `weight` and `y` of the row swapped in their roles:
    // y is read, sums are written.
    void (*weight_gradient)(const DepthwiseRow& row, float* sums);
};

}  // namespace lathe::kernels
