#pragma once
#include <vector>

#include "lathe/core/ops/conv2d.h"
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// What is added before and after along one axis.
struct PadWidth {
    int64_t before = 0, after = 0;
};

// x with elements of `value` around it, `widths` for each axis. Error: a width is negative or one is missing.
Variable pad(const Variable& x, const std::vector<PadWidth>& widths, double value = 0);

// x [N, H, W, C]  ->  [N, top + H + bottom, left + W + right, C]
Variable pad(const Variable& x, const Padding& padding, double value = 0);

// x [.., C], like [.., K]  ->  [.., K]: zero channels around those of x, half of the missing ones (rounded down) in
// front. Of `like` only the number of channels matters. Error: it has fewer than x.
Variable pad_channels(const Variable& x, const Variable& like);

}  // namespace lathe::ops
