#pragma once
#include <algorithm>
#include <cstdint>
#include <numeric>

#include "lathe/core/ceil_div.h"
#include "lathe/core/kernels/conv2d/shape.h"

namespace lathe::kernels {

// One axis of a correlation: result i stands at `out_first + i * out_step` and sums over taps t the values at
// `in_first + i * in_step + t * in_tap`, each times the kernel's value at `kernel_first + t * kernel_step`.
struct Axis {
    int64_t count, out_first, out_step;
    int64_t in_first, in_step, in_tap;
    int64_t taps, kernel_first, kernel_step;

    int64_t extent(int64_t results) const { return (results - 1) * in_step + (taps - 1) * in_tap + 1; }
};

inline Axis forward_axis(int64_t out, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation) {
    return {out, 0, 1, -pad, stride, dilation, kernel, 0, 1};
}

// The inputs `phase`, `phase + stride`, … get their gradients from the taps r for which (input + pad - r * dilation)
// is a multiple of the stride: every (stride / gcd)-th one. Taken from the last to the first, they read dy forwards.
inline Axis backward_axis(int64_t in, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation, int64_t phase) {
    const int64_t divisor = std::gcd(stride, dilation), every = stride / divisor;
    const int64_t count = phase < in ? ceil_div(in - phase, stride) : 0;
    int64_t last = kernel - 1;
    while (last >= 0 && (phase + pad - last * dilation) % stride != 0) --last;
    if (last < 0) return {count, phase, stride, 0, 1, 1, 0, 0, 0};
    return {count, phase, stride, (phase + pad - last * dilation) / stride, 1, dilation / divisor, last / every + 1,
            last,  -every};
}

struct Axes {
    Axis h, w;
};
inline Axes forward_axes(const Conv2dShape& g) {
    return {forward_axis(g.out_h, g.kernel_h, g.stride_h, g.pad_top, g.dilation_h),
            forward_axis(g.out_w, g.kernel_w, g.stride_w, g.pad_left, g.dilation_w)};
}
// phase: of the stride_h * stride_w, row by row.
inline Axes backward_axes(const Conv2dShape& g, int64_t phase) {
    return {backward_axis(g.in_h, g.kernel_h, g.stride_h, g.pad_top, g.dilation_h, phase / g.stride_w),
            backward_axis(g.in_w, g.kernel_w, g.stride_w, g.pad_left, g.dilation_w, phase % g.stride_w)};
}

// The taps of result i that read inside an input of `size`: [first, last).
struct TapRange {
    int64_t first, last;
};
inline TapRange taps_inside(const Axis& axis, int64_t i, int64_t size) {
    const int64_t start = axis.in_first + i * axis.in_step;
    const int64_t first = start < 0 ? ceil_div(-start, axis.in_tap) : 0;
    const int64_t last = start < size ? std::min(axis.taps, (size - 1 - start) / axis.in_tap + 1) : 0;
    return {first, std::max(first, last)};
}

}  // namespace lathe::kernels
