#pragma once
#include <cstdint>

#include "lathe/core/ops/fake_quantize.h"
#include "lathe/core/tensor.h"

namespace lathe::compress {

// A signal-to-noise ratio in decibels; infinite without noise.
double decibels(double signal, double noise);

// Linear quantization: real = scale (integer - zero_point), Jacob et al. 2017, arXiv 1712.05877, with the rounding
// of the course lab: halves to even, before the zero point is added. Where the lab's int8 would wrap around, integers
// saturate.

// The numbers from low to high.
struct Range {
    double low = 0, high = 0;

    Range with_zero() const { return {low < 0 ? low : 0, high > 0 ? high : 0}; }
    bool operator==(const Range&) const = default;
};
// The least and the greatest element; {0, 0} of none. Error: one is NaN or infinite.
Range range_of(const Tensor& x);

// Which numbers the integers of so many bits stand for.
struct Grid {
    int bits = 8;
    bool is_signed = true;
    int axis = -1;         // along which each index has a scale of its own; -1: one scale
    Tensor scale{};        // f32 [1] or [extent]
    Tensor zero_point{};   // i32 alike; empty: 0

    IntegerRange integers() const { return integer_range(bits, is_signed); }
};

// scale = (high - low) / (qmax - qmin), zero_point = round(qmin - low / scale), clipped to [qmin, qmax]. The range is
// taken as it is: one without zero loses a part at its far end, for zero is on every grid. A range of no width has the
// scale of kLeastRange / (qmax - qmin).
Grid asymmetric(const Range& range, int bits, bool is_signed = true);
// Its numbers before they are a grid's.
struct ScaleAndZero {
    double scale;
    int64_t zero_point;
};
ScaleAndZero asymmetric_scale(const Range& range, int bits, bool is_signed = true);

// scale = magnitude / qmax, zero_point 0, for each index of an axis of the weight, or for all of it (axis -1). The
// smallest magnitude is kLeastRange.
Grid symmetric(const Tensor& weight, int bits, int axis = 0);

inline constexpr double kLeastRange = 5e-7;

// The same with the magnitude, for each scale, that makes the least squared error: worth it below 8 bits, where the
// largest weight sets too coarse a grid for the others. Among 64 shares of the largest magnitude.
Grid symmetric_least_error(const Tensor& weight, int bits, int axis = 0);

// The factor of a scale's gradient in LSQ (Esser et al. 2020, arXiv 1902.08153, section 2.2), with which a scale moves
// in proportion to the numbers that share it: 1 / sqrt(how many * levels), levels being those on the larger side of
// zero.
double lsq_gradient(int64_t numbers, int64_t levels);

// clamp(round(x / scale) + zero_point), i8 or u8, of x's shape; and back. Error: an axis that does not fit the scale.
Tensor quantize(const Tensor& x, const Grid& grid);
Tensor dequantize(const Tensor& integers, const Grid& grid);
Tensor on_grid(const Tensor& x, const Grid& grid);  // there and back

// A bias as int32 beside the products of integers: scale = weight's scale of the output * the input's scale, zero
// point 0. bias [K], weight_scale [1] or [K]  ->  i32 [K]
Tensor quantize_bias(const Tensor& bias, const Tensor& weight_scale, double input_scale);

// The bias less what the input's zero point contributes, so that plain products of integers may be added up:
//   q_bias[k] - input_zero_point * sum of q_weight[k, ...].   i32 [K]
Tensor shifted_bias(const Tensor& bias, const Tensor& weight, int64_t input_zero_point);

// A linear layer on integers: x i8 [N, C], weight i8 [K, C], bias from shifted_bias.
struct IntegerLinear {
    Tensor sums;    // i32 [N, K]: x weight^T + bias
    Tensor output;  // i8 [N, K]: clamp(round(sum * input scale * weight scale / output scale) + output zero point)
};
IntegerLinear quantized_linear(const Tensor& x, const Grid& x_grid, const Tensor& weight, const Grid& weight_grid,
                               const Tensor& bias, const Grid& output_grid);

}  // namespace lathe::compress
