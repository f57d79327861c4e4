#pragma once
#include <optional>

#include "lathe/core/ops/detail/window.h"
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

struct MaxPool2dOptions {
    std::optional<Pair> stride{};  // the kernel's size unless given
    Padding padding{};             // smaller than the kernel; never the largest value
};

struct AvgPool2dOptions {
    std::optional<Pair> stride{};
    Padding padding{};              // smaller than the kernel; zeros
    bool count_include_pad = true;  // divide by the kernel's size, else by the number of pixels inside the image
};

// The largest value, the mean of each window.   x [N, H, W, C]  ->  y [N, P, Q, C]
// with P = (H + top + bottom - kernel.h) / stride.h + 1, rounded down, and Q likewise. Among equal values the first of
// the window receives the gradient. Error: x is not of rank 4, or smaller than the kernel after padding.
Variable max_pool2d(const Variable& x, Pair kernel, const MaxPool2dOptions& options = {});
Variable avg_pool2d(const Variable& x, Pair kernel, const AvgPool2dOptions& options = {});

// The mean of each channel's map.   x [N, H, W, C]  ->  y [N, C]. Error: x is not of rank 4, or has no pixels.
Variable global_avg_pool(const Variable& x);

}  // namespace lathe::ops
