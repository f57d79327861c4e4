#pragma once
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <vector>

#include "lathe/core/kernels/conv2d/shape.h"

// Geometries that cover every tail and oddity of the convolution kernels.
inline const lathe::kernels::Conv2dShape kShapes[] = {
    // N, H, W, C | P, Q, K | R, S | stride | pad | dilation | groups
    {2, 8, 8, 16, 8, 8, 16, 3, 3, 1, 1, 1, 1},
    {1, 1, 1, 1, 1, 1, 1, 1, 1},
    {3, 7, 5, 3, 7, 5, 10, 3, 3, 1, 1, 1, 1},
    {2, 9, 11, 5, 9, 11, 17, 1, 1},
    {2, 9, 11, 7, 5, 6, 17, 1, 1, 2, 2},
    {2, 28, 28, 1, 28, 28, 6, 5, 5, 1, 1, 2, 2},
    {3, 14, 14, 6, 10, 10, 16, 5, 5},
    {2, 9, 8, 7, 5, 4, 10, 3, 3, 2, 2, 1, 1},
    {2, 8, 8, 16, 4, 4, 32, 3, 3, 2, 2, 0, 0},               // padded below and to the right only
    {2, 10, 7, 4, 3, 3, 5, 3, 2, 4, 3, 1, 1},                 // strides beyond the kernel
    {1, 12, 13, 5, 9, 9, 7, 3, 3, 1, 1, 1, 0, 2, 2},
    {1, 13, 9, 4, 6, 4, 9, 3, 2, 2, 3, 2, 1, 2, 4},
    {1, 3, 3, 2, 3, 3, 4, 7, 7, 1, 1, 3, 3},                  // a kernel larger than the map
    {2, 6, 6, 8, 6, 6, 12, 3, 3, 1, 1, 1, 1, 1, 1, 4},
    {2, 7, 6, 6, 4, 3, 6, 3, 3, 2, 2, 1, 1, 1, 1, 3},
    {2, 7, 9, 19, 7, 9, 19, 3, 3, 1, 1, 1, 1, 1, 1, 19},      // depthwise
    {2, 7, 9, 96, 4, 5, 96, 3, 3, 2, 2, 1, 1, 1, 1, 96},
    {1, 11, 10, 5, 11, 10, 5, 5, 5, 1, 1, 2, 2, 1, 1, 5},
    {1, 9, 9, 33, 7, 7, 33, 2, 3, 1, 1, 0, 1, 2, 2, 33},
    {1, 5, 5, 3, 5, 5, 6, 3, 3, 1, 1, 1, 1, 1, 1, 3},         // depthwise with a channel multiplier
    {3, 17, 18, 64, 17, 18, 65, 3, 3, 1, 1, 1, 1},
    {5, 4, 4, 130, 4, 4, 96, 3, 3, 1, 1, 1, 1},
    {2, 32, 32, 3, 32, 32, 64, 3, 3, 1, 1, 1, 1},
    {2, 16, 15, 32, 14, 13, 40, 3, 3},
    {1, 49, 10, 1, 25, 5, 64, 10, 4, 2, 2, 4, 1},
    {1, 20, 300, 3, 20, 300, 8, 3, 3, 1, 1, 1, 1},
    {2, 13, 15, 16, 15, 15, 48, 3, 3, 1, 1, 2, 1},            // Winograd with cut tiles and uneven padding
    {3, 18, 12, 48, 16, 12, 16, 3, 3, 1, 1, 0, 1},
    {40, 8, 8, 32, 8, 8, 48, 3, 3, 1, 1, 1, 1},               // several blocks of tiles
    {7, 32, 32, 16, 32, 32, 16, 3, 3, 1, 1, 1, 1},
    {2, 8, 7, 40, 4, 4, 40, 3, 3, 2, 2, 0, 0, 1, 1, 40},      // padded below and to the right only
    {2, 5, 1, 17, 5, 1, 17, 3, 3, 1, 1, 1, 1, 1, 1, 17},
    {1, 6, 6, 33, 4, 4, 33, 3, 3, 1, 1, 0, 0, 1, 1, 33},
    {1, 6, 6, 16, 10, 10, 16, 3, 3, 1, 1, 3, 3, 1, 1, 16},    // padded beyond the kernel
    {2, 9, 9, 45, 9, 9, 90, 3, 3, 1, 1, 1, 1},                // Winograd with channels that fill no vector
    {9, 8, 8, 17, 8, 8, 19, 3, 3, 1, 1, 1, 1},
    {1, 4, 4, 70, 4, 4, 80, 3, 3, 1, 1, 1, 1},                // few pixels, many weights
    {3, 6, 5, 64, 3, 3, 65, 5, 3, 2, 2, 2, 1, 1, 1},
    {17, 9, 7, 3, 9, 7, 6, 3, 3, 1, 1, 1, 1},                 // images in the lanes
    {35, 7, 6, 5, 4, 3, 7, 3, 3, 2, 2, 1, 1},
    {16, 6, 5, 6, 2, 5, 8, 3, 3, 1, 1, 0, 1, 2, 1},
    {20, 7, 5, 2, 4, 5, 70, 1, 1, 2, 1},
    {16, 3, 3, 2, 3, 3, 4, 7, 7, 1, 1, 3, 3},
};

inline int64_t x_size(const lathe::kernels::Conv2dShape& g) { return g.batch * g.in_h * g.in_w * g.in_c; }
inline int64_t y_size(const lathe::kernels::Conv2dShape& g) { return g.batch * g.out_h * g.out_w * g.out_c; }
inline int64_t weight_size(const lathe::kernels::Conv2dShape& g) {
    return g.out_c * g.kernel_h * g.kernel_w * (g.in_c / g.groups);
}

// Largest error, as a multiple of eps times the largest sum of |products| behind one result.
inline double relative_error(const std::vector<float>& got, const std::vector<double>& want,
                             const std::vector<double>& scale) {
    double error = 0, largest = 1e-30;
    for (size_t i = 0; i < want.size(); ++i) {
        error = std::max(error, got[i] == got[i] ? std::abs(got[i] - want[i]) : 1e30);
        largest = std::max(largest, scale[i]);
    }
    return error / (FLT_EPSILON * largest);
}
