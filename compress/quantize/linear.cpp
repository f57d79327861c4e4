#include "lathe/compress/quantize/linear.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "lathe/core/integer/arithmetic.h"
#include "lathe/core/parallel.h"

namespace lathe::compress {

namespace {

// Which scale element i has.
class Channels {
public:
    Channels(const Shape& shape, const Grid& grid) {
        check(grid.axis >= -1 && grid.axis < shape.rank(), "quantize: expected an axis of ", shape, " or -1, got ",
              grid.axis);
        if (grid.axis >= 0) count_ = shape[grid.axis];
        for (int i = grid.axis + 1; i < shape.rank(); ++i) inner_ *= shape[i];
        check(grid.scale.numel() == count_, "quantize: expected ", count_, " scales, got ", grid.scale.numel());
    }
    int64_t operator()(int64_t i) const { return i / inner_ % count_; }

private:
    int64_t count_ = 1, inner_ = 1;
};

int32_t zero_point_of(const Grid& grid, int64_t channel) {
    return grid.zero_point ? grid.zero_point.data<int32_t>()[channel] : 0;
}

int64_t rounded(double x) { return static_cast<int64_t>(std::nearbyint(x)); }

template <class F>
auto with_integers(DType dtype, F f) {
    check(dtype == DType::i8 || dtype == DType::u8, "quantization: expected integers of type i8 or u8, got ",
          name_of(dtype));
    return dtype == DType::i8 ? f(int8_t{}) : f(uint8_t{});
}

}  // namespace

double decibels(double signal, double noise) {
    return noise > 0 ? 10 * std::log10(signal / noise) : std::numeric_limits<double>::infinity();
}

Range range_of(const Tensor& x) {
    if (x.numel() == 0) return {};
    const float* values = x.data<float>();
    float low = values[0], high = values[0];
    bool finite = true;
    for (int64_t i = 0; i < x.numel(); ++i) {
        low = std::min(low, values[i]);
        high = std::max(high, values[i]);
        finite = finite && std::isfinite(values[i]);
    }
    check(finite, "quantization: expected finite values, got NaN or infinity");
    return {low, high};
}

ScaleAndZero asymmetric_scale(const Range& range, int bits, bool is_signed) {
    const auto [low, high] = integer_range(bits, is_signed);
    const double scale = std::max(range.high - range.low, kLeastRange) / static_cast<double>(high - low);
    return {scale, std::clamp(rounded(static_cast<double>(low) - range.low / scale), low, high)};
}

Grid asymmetric(const Range& range, int bits, bool is_signed) {
    const auto [scale, zero_point] = asymmetric_scale(range, bits, is_signed);
    return {.bits = bits, .is_signed = is_signed, .axis = -1,
            .scale = Tensor::full({1}, static_cast<float>(scale)),
            .zero_point = Tensor::full({1}, static_cast<double>(zero_point), DType::i32)};
}

Grid symmetric(const Tensor& weight, int bits, int axis) {
    const int64_t high = integer_range(bits, true).high;
    Grid grid{.bits = bits, .axis = axis, .scale = Tensor::zeros({axis < 0 ? 1 : weight.dim(axis)})};
    range_of(weight);  // of finite values
    const Channels channel(weight.shape(), grid);
    float* scale = grid.scale.mutable_data<float>();
    const float* values = weight.data<float>();
    for (int64_t i = 0; i < weight.numel(); ++i)
        scale[channel(i)] = std::max(scale[channel(i)], std::abs(values[i]));
    for (int64_t k = 0; k < grid.scale.numel(); ++k)
        scale[k] = std::max(scale[k], static_cast<float>(kLeastRange)) / static_cast<float>(high);
    return grid;
}

Grid symmetric_least_error(const Tensor& weight, int bits, int axis) {
    constexpr int kShares = 64;
    Grid best = symmetric(weight, bits, axis);
    const auto [low, high] = best.integers();
    const Tensor largest = best.scale.clone();
    const int64_t scales = largest.numel();
    const Channels channel(weight.shape(), best);
    const float least = static_cast<float>(low), most = static_cast<float>(high), *w = weight.data<float>();
    std::vector<double> errors(static_cast<size_t>(scales * kShares));
    parallel_for(kShares, 1, [&](int64_t begin, int64_t end) {
        for (int64_t share = begin; share < end; ++share)
            for (int64_t i = 0; i < weight.numel(); ++i) {
                const int64_t k = channel(i);
                const float scale = largest.data<float>()[k] * static_cast<float>(kShares - share) / kShares;
                const float error = scale * integer::clip(integer::level_of(w[i], scale, 0), least, most) - w[i];
                errors[static_cast<size_t>(share * scales + k)] += static_cast<double>(error) * error;
            }
    });
    for (int64_t k = 0; k < scales; ++k) {
        int64_t chosen = 0;
        for (int64_t share = 1; share < kShares; ++share)
            if (errors[static_cast<size_t>(share * scales + k)] < errors[static_cast<size_t>(chosen * scales + k)])
                chosen = share;
        best.scale.mutable_data<float>()[k] *= static_cast<float>(kShares - chosen) / kShares;
    }
    return best;
}

double lsq_gradient(int64_t numbers, int64_t levels) {
    return 1 / std::sqrt(std::max(1.0, static_cast<double>(numbers) * static_cast<double>(levels)));
}

Tensor quantize(const Tensor& x, const Grid& grid) {
    const Channels channel(x.shape(), grid);
    const auto low = static_cast<float>(grid.integers().low), high = static_cast<float>(grid.integers().high);
    Tensor integers(x.shape(), grid.is_signed ? DType::i8 : DType::u8);
    with_integers(integers.dtype(), [&](auto zero) {
        using Integer = decltype(zero);
        const float *from = x.data<float>(), *scale = grid.scale.data<float>();
        Integer* to = x.numel() ? integers.mutable_data<Integer>() : nullptr;
        for (int64_t i = 0; i < x.numel(); ++i) {
            const int64_t k = channel(i);
            const float level = integer::level_of(from[i], scale[k], static_cast<float>(zero_point_of(grid, k)));
            check(!std::isnan(level), "quantize: expected numbers, got NaN");
            to[i] = static_cast<Integer>(integer::clip(level, low, high));
        }
    });
    return integers;
}

Tensor dequantize(const Tensor& integers, const Grid& grid) {
    const Channels channel(integers.shape(), grid);
    Tensor x(integers.shape());
    with_integers(integers.dtype(), [&](auto zero) {
        const auto* from = integers.data<decltype(zero)>();
        float* to = x.numel() ? x.mutable_data<float>() : nullptr;
        for (int64_t i = 0; i < x.numel(); ++i) {
            const int64_t k = channel(i);
            to[i] = integer::dequantize(from[i], grid.scale.data<float>()[k], zero_point_of(grid, k));
        }
    });
    return x;
}

Tensor on_grid(const Tensor& x, const Grid& grid) { return dequantize(quantize(x, grid), grid); }

Tensor quantize_bias(const Tensor& bias, const Tensor& weight_scale, double input_scale) {
    check(weight_scale.numel() == 1 || weight_scale.numel() == bias.numel(), "quantize_bias: expected 1 or ",
          bias.numel(), " scales, got ", weight_scale.numel());
    constexpr double kMost = 2147483647;
    Tensor integers(bias.shape(), DType::i32);
    for (int64_t k = 0; k < bias.numel(); ++k) {
        const double scale = weight_scale.at(weight_scale.numel() == 1 ? 0 : k) * input_scale;
        integers.mutable_data<int32_t>()[k] =
            static_cast<int32_t>(std::clamp(std::nearbyint(bias.at(k) / scale), -kMost - 1, kMost));
    }
    return integers;
}

Tensor shifted_bias(const Tensor& bias, const Tensor& weight, int64_t input_zero_point) {
    check(bias.shape() == Shape{weight.dim(0)}, "shifted_bias: expected bias [", weight.dim(0), "], got ",
          bias.shape());
    const int64_t row = weight.numel() / std::max<int64_t>(1, weight.dim(0));
    Tensor shifted = bias.clone();
    for (int64_t k = 0; k < bias.numel(); ++k) {
        int64_t sum = 0;
        for (int64_t i = 0; i < row; ++i) sum += weight.data<int8_t>()[k * row + i];
        shifted.mutable_data<int32_t>()[k] -= static_cast<int32_t>(input_zero_point * sum);
    }
    return shifted;
}

IntegerLinear quantized_linear(const Tensor& x, const Grid& x_grid, const Tensor& weight, const Grid& weight_grid,
                               const Tensor& bias, const Grid& output_grid) {
    check(x.rank() == 2 && weight.rank() == 2 && x.dim(1) == weight.dim(1) && bias.shape() == Shape{weight.dim(0)},
          "quantized_linear: expected x [N, C], weight [K, C] and bias [K], got ", x.shape(), ", ", weight.shape(),
          " and ", bias.shape());
    const int64_t n = x.dim(0), c = x.dim(1), k_count = weight.dim(0);
    const auto [low, high] = output_grid.integers();
    IntegerLinear y{Tensor({n, k_count}, DType::i32), Tensor({n, k_count}, DType::i8)};
    for (int64_t i = 0; i < n; ++i)
        for (int64_t k = 0; k < k_count; ++k) {
            int32_t sum = bias.data<int32_t>()[k];
            for (int64_t j = 0; j < c; ++j) sum += x.data<int8_t>()[i * c + j] * weight.data<int8_t>()[k * c + j];
            const double scale = x_grid.scale.item() * weight_grid.scale.at(weight_grid.axis < 0 ? 0 : k) /
                                 output_grid.scale.item();
            y.sums.mutable_data<int32_t>()[i * k_count + k] = sum;
            y.output.mutable_data<int8_t>()[i * k_count + k] = static_cast<int8_t>(
                std::clamp(rounded(sum * scale) + zero_point_of(output_grid, 0), low, high));
        }
    return y;
}

}  // namespace lathe::compress
