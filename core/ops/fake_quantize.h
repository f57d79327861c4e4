#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe {

// The integers of so many bits: signed from -2^(bits - 1) to 2^(bits - 1) - 1, else from 0 to 2^bits - 1.
// Error: bits outside 2..8.
struct IntegerRange {
    int64_t low = 0, high = 0;
};
IntegerRange integer_range(int bits, bool is_signed);

// A scale that training made smaller than this, or negative, counts as this.
inline constexpr float kLeastScale = 1e-8f;

}  // namespace lathe

namespace lathe::ops {

// How a scale learns.
enum class ScaleRule {
    lsq,   // from clipping and from rounding: Esser et al. 2020, "Learned step size quantization", arXiv 1902.08153
    pact,  // from clipping alone, as the bound of PACT does: Choi et al. 2018, arXiv 1805.06085
};

struct FakeQuantizeOptions {
    int bits = 8;
    bool is_signed = true;
    int axis = -1;              // of x, along which each index has a scale of its own; -1: one for all of x
    ScaleRule rule = ScaleRule::lsq;
    double scale_gradient = 1;  // factor of the gradient of the scale
};

// The numbers that integers can stand for, on the way through integers:
//   y = scale (clamp(round(x / scale) + zero_point, low, high) - zero_point),   y of x's shape,
// halves rounded to even, low and high from integer_range. scale [1] or [x's extent along the axis]; zero_point
// alike, of integers from low to high, or empty: 0. Error: other shapes, bits, or zero points.
Variable fake_quantize(const Variable& x, const Variable& scale, const Variable& zero_point,
                       const FakeQuantizeOptions& options);

}  // namespace lathe::ops
