#pragma once
#include <cmath>

namespace lathe::kernels {

// What happens to every float32 result before it is written, while it is still in a register:
// y = min(max(result + bias[channel] (+ y), low), high). relu is {bias, 0}, relu6 {bias, 0, 6}; a NaN stays a NaN.
struct Epilogue {
    const float* bias = nullptr;  // may be null
    float low = -INFINITY, high = INFINITY;
    bool accumulate = false;      // adds what y held: the other branch of a residual block
};

}  // namespace lathe::kernels
