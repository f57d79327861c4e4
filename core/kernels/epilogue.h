#pragma once
#include <cmath>

namespace lathe::kernels {

// What happens to every float32 result before it is written, while it is still in a register:
// y = min(max(y + bias[channel], low), high). relu is {bias, 0}, relu6 {bias, 0, 6}; a NaN stays a NaN.
struct Epilogue {
    const float* bias = nullptr;  // may be null
    float low = -INFINITY, high = INFINITY;

    bool empty() const { return !bias && low == -INFINITY && high == INFINITY; }
};

}  // namespace lathe::kernels
