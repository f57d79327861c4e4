#pragma once
#include "lathe/core/variable.h"

namespace lathe::ops {

// Zero rows and columns added around an image.
struct Padding {
    int64_t top = 0, bottom = 0, left = 0, right = 0;
    Padding() = default;
    Padding(int64_t all) : top(all), bottom(all), left(all), right(all) {}
    Padding(int64_t vertical, int64_t horizontal) : top(vertical), bottom(vertical), left(horizontal), right(horizontal) {}
    Padding(int64_t top, int64_t bottom, int64_t left, int64_t right) : top(top), bottom(bottom), left(left), right(right) {}
};

// A pair of numbers for height and width; one number sets both.
struct Pair {
    int64_t h = 1, w = 1;
    Pair() = default;
    Pair(int64_t both) : h(both), w(both) {}
    Pair(int64_t h, int64_t w) : h(h), w(w) {}
};

struct Conv2dOptions {
    Pair stride{};
    Padding padding{};
    Pair dilation{};
    int64_t groups = 1;
};

// Cross-correlation.   x [N, H, W, C], weight [K, R, S, C/groups], bias [K] or empty  ->  y [N, P, Q, K]
// with P = (H + top + bottom - dilation (R - 1) - 1) / stride + 1, rounded down, and Q likewise.
// Error: channels, groups or bias do not fit, or the padded image is smaller than the kernel.
Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias = {}, const Conv2dOptions& options = {});

}  // namespace lathe::ops
