#include "lathe/compress/quantize/linear.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lathe/core/ops/linear.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tools/labs/tensors.h"

using namespace lathe;
using namespace lathe::testing;
using namespace lathe::compress;
namespace lab2 = lathe::tools::lab2;

namespace {

void expect(const Tensor& integers, const std::vector<int>& values) {
    REQUIRE(integers.numel() == static_cast<int64_t>(values.size()));
    for (int64_t i = 0; i < integers.numel(); ++i) CHECK(integers.at(i) == values[static_cast<size_t>(i)]);
}

}  // namespace

TEST_CASE("the lab's linear_quantize: 2 bits, scale 1/3, zero point -1") {
    const Tensor x = lab2::activations();
    const Grid grid{.bits = 2, .scale = Tensor::full({1}, 1.0 / 3), .zero_point = Tensor::full({1}, -1, DType::i32)};
    expect(quantize(x, grid), {-1, 1, -1, -1, 0, 1,  1, 1, -2, 0, -1, 0, 0,
                               1,  -1, -1, -1, 1, 1, -1, 1, -2, 1, -2, 0});
}

TEST_CASE("the lab's quantized linear layer at 2 bits: scales, integers, bias, shifted bias, sums and output") {
    const Tensor x = lab2::layer_input(), weight = lab2::layer_weight(), bias = lab2::layer_bias();
    const Grid x_grid = asymmetric(range_of(x), 2), weight_grid = symmetric(weight, 2);
    CHECK(x_grid.scale.item() == doctest::Approx(0.2816));
    CHECK(x_grid.zero_point.item() == -2);
    for (int64_t k = 0; k < 8; ++k) {
        float most = 0;
        for (int64_t i = 0; i < 8; ++i) most = std::max(most, std::abs(weight.data<float>()[8 * k + i]));
        CHECK(weight_grid.scale.at(k) == most);
    }
    const Tensor q_x = quantize(x, x_grid), q_weight = quantize(weight, weight_grid);
    expect(q_x, {0, 1,  1,  -1, 1,  1, -1, -1, -1, -1, -1, 1,  0,  -2, -1, 0,
                 0, 0,  0,  -1, -1, 1, -2, -1, -1, -1, 0,  -2, -2, -1, 0,  1});
    expect(q_weight, {1,  -1, 0, 1,  0, -1, -1, -1, 1,  -1, 0,  0, 0,  0,  0,  1,
                      -1, -1, 0, -1, 0, 1,  -1, 0,  0,  0,  0,  0, 0,  -1, 0,  0,
                      0,  0,  -1, 0, -1, 0, -1, 0,  -1, 0,  1,  -1, 0, 0,  -1, 1,
                      -1, 1,  -1, 1, 1, 1,  0,  0,  1,  -1, -1, 1, 0,  0,  0,  -1});
    const Tensor q_bias = quantize_bias(bias, weight_grid.scale, x_grid.scale.item());
    expect(q_bias, {3, -2, 3, 1, 3, 2, -2, -2});
    const Tensor shifted = shifted_bias(q_bias, q_weight, -2);
    expect(shifted, {-1, 0, -3, -1, -3, 0, 2, -4});

    const Grid y_grid = asymmetric(range_of(ops::linear(x, weight, bias).value()), 2);
    CHECK(y_grid.scale.item() == doctest::Approx(0.468152271).epsilon(1e-6));
    CHECK(y_grid.zero_point.item() == 0);
    const IntegerLinear y = quantized_linear(q_x, x_grid, q_weight, weight_grid, shifted, y_grid);
    expect(y.sums, {-2, -2, -1, -2, -4, 2, 3,  -6, 3,  0, -3, 1, -1, 0, 2,  -2,
                    0,  -1, 1,  -2, 0,  2, 1,  -4, -3, 1, 0,  0, -1, 4, -3, -7});
    expect(y.output, {0, -1, 0, -1, -1, 0, 1, -2, 0, 0, -1, 0, 0, 0, 0,  -1,
                      0, 0,  0, -1, 0,  0, 0, -1, 0, 0, 0,  0, 0, 1, -1, -2});
}

TEST_CASE("quantize is what the op fake_quantize goes through, for all bits and signs") {
    const Tensor x = random_tensor({3, 40}, 5);
    for (int bits = 2; bits <= 8; ++bits)
        for (bool is_signed : {false, true}) {
            const Grid grid = asymmetric(range_of(x), bits, is_signed);
            const Tensor integers = quantize(x, grid), back = dequantize(integers, grid);
            CHECK(integers.dtype() == (is_signed ? DType::i8 : DType::u8));
            CHECK(same(back, ops::fake_quantize(x, grid.scale, grid.zero_point.to(DType::f32),
                                                {.bits = bits, .is_signed = is_signed}).value()));
            for (int64_t i = 0; i < x.numel(); ++i)
                CHECK(std::abs(back.at(i) - x.at(i)) <= 0.5001 * grid.scale.item() + 1e-6);
            const Grid by_row = symmetric(x, bits, 0);
            CHECK(same(dequantize(quantize(x, by_row), by_row),
                       ops::fake_quantize(x, by_row.scale, {}, {.bits = bits, .axis = 0}).value()));
        }
}

TEST_CASE("ranges: zero is on every grid, one of no width has a scale, numbers beyond saturate") {
    CHECK(Range{0.5, 2}.with_zero() == Range{0, 2});
    CHECK(Range{-3, -1}.with_zero() == Range{-3, 0});
    const Grid constant = asymmetric({3, 3}, 8);
    CHECK(constant.scale.item() > 0);
    CHECK(constant.zero_point.item() == -128);
    const Grid grid = asymmetric({-1, 1}, 8);
    expect(quantize(Tensor::of<float>({3}, {-1e30f, 0, 1e30f}), grid), {-128, 0, 127});
    CHECK(symmetric(Tensor::zeros({2, 3}), 4).scale.at(1) == static_cast<float>(kLeastRange) / 7);
    CHECK(range_of(Tensor::zeros({0})) == Range{});
    CHECK(symmetric(random_tensor({2, 3}), 8, -1).scale.numel() == 1);
    expect(quantize_bias(Tensor::of<float>({2}, {1e30f, -1e30f}), Tensor::full({1}, 1e-3), 1),
           {2147483647, -2147483647 - 1});
}

TEST_CASE("linear quantization: bad arguments") {
    const Tensor x = Tensor::zeros({2, 3});
    CHECK(message_of([&] { asymmetric({0, 1}, 1); }) == "quantization: expected 2 to 8 bits, got 1");
    CHECK(message_of([&] { range_of(Tensor::full({2}, NAN)); }) ==
          "quantization: expected finite values, got NaN or infinity");
    CHECK(message_of([&] { symmetric(Tensor::full({2, 2}, INFINITY), 8); }) ==
          "quantization: expected finite values, got NaN or infinity");
    CHECK(message_of([&] { quantize(Tensor::full({2}, NAN), asymmetric({0, 1}, 8)); }) ==
          "quantize: expected numbers, got NaN");
    CHECK(message_of([&] { quantize(x, {.axis = 2, .scale = Tensor::full({1}, 1)}); }) ==
          "quantize: expected an axis of [2, 3] or -1, got 2");
    CHECK(message_of([&] { quantize(x, {.axis = 1, .scale = Tensor::full({2}, 1)}); }) ==
          "quantize: expected 3 scales, got 2");
    CHECK(message_of([&] { dequantize(x, asymmetric({0, 1}, 8)); }) ==
          "quantization: expected integers of type i8 or u8, got f32");
    CHECK(message_of([&] { quantize_bias(Tensor::zeros({3}), Tensor::full({2}, 1), 1); }) ==
          "quantize_bias: expected 1 or 3 scales, got 2");
    CHECK(message_of([&] { shifted_bias(Tensor::zeros({3}, DType::i32), Tensor::zeros({2, 2}, DType::i8), 1); }) ==
          "shifted_bias: expected bias [2], got [3]");
}
