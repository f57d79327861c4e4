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

// Rows of results of a 3x3 depthwise correlation of stride 1 or 2, edges included:
//   y[p][i][c] = bias[c] + sum over r, s < 3 of x[p * step + r][first + i * step + s][c] * weight[r][s][c]
// Pixels outside [0, in_w) are zeros; a row outside the image is one of zeros.
struct Depthwise3x3 {
    int64_t channels, in_w, rows, out_w, first, step;
    const float* const* x;  // the input's rows
    const float* weight;
    const float* bias;  // may be null
    float* y;
    bool accumulate, stream;
    float low, high;
};

// The same for whole maps of `channels` channels, each pixel of which is one vector: x [channels, in_h, in_w, lanes],
// y [channels, out_h, out_w, lanes], weight [channels, 3, 3]. zeros [in_w, lanes] stands for rows outside.
struct DepthwiseMaps3x3 {
    int64_t channels, in_h, in_w, out_h, out_w, first_row, first, step;
    const float* x;
    const float* zeros;
    const float* weight;
    const float* bias;  // may be null
    float* y;
    bool accumulate;
    float low, high;
};

struct DepthwiseTable {
    void (*correlate)(const DepthwiseRow& row);
    // weight[r][s][c] += sum over i of x[...] * y[i][c], with `weight` and `y` of the row swapped in their roles:
    // y is read, sums are written.
    void (*weight_gradient)(const DepthwiseRow& row, float* sums);
    // The same for 3x3.
    void (*correlate_3x3)(const Depthwise3x3& row);
    void (*correlate_maps_3x3)(const DepthwiseMaps3x3& maps);
    void (*weight_gradient_3x3)(const Depthwise3x3& row, float* sums);
};

}  // namespace lathe::kernels
