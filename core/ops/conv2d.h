#pragma once
#include "lathe/core/activation.h"
#include "lathe/core/ops/detail/window.h"
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

struct Conv2dOptions {
    Pair stride{};
    Padding padding{};
    Pair dilation{};
    int64_t groups = 1;
    bool exact = false;  // kernels::Conv2dShape says what; only where no gradients are recorded
};

// Cross-correlation.   x [N, H, W, C], weight [K, R, S, C/groups], bias [K] or empty  ->  y [N, P, Q, K]
// with P = (H + top + bottom - dilation (R - 1) - 1) / stride + 1, rounded down, and Q likewise.
// Error: channels, groups or bias do not fit, or the padded image is smaller than the kernel.
Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias = {},
                const Conv2dOptions& options = {});

// y = activation(conv2d(x, weight, bias) + addend) in one pass, the activation none, relu or relu6: what fold makes of
// a convolution with what follows it. The addend has y's shape or is empty. Error: as conv2d, or another activation.
Variable conv2d_fused(const Variable& x, const Variable& weight, const Variable& bias, const Variable& addend,
                      Activation activation, const Conv2dOptions& options = {});

}  // namespace lathe::ops
