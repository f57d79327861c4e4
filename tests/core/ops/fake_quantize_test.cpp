#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "lathe/core/graph/graph.h"
#include "lathe/core/integer/arithmetic.h"
#include "lathe/core/ops/fake_quantize.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/support/op_cases.h"

using namespace lathe;
using namespace lathe::testing;
using ops::FakeQuantizeOptions;
using ops::ScaleRule;

namespace {

// Scales [C] near 0.1, and x far beyond what integers of few bits reach with them: there the gradient is that of what
// the op computes, while within the range it is another function's (see the test of the frozen rounding errors).
Tensor clipped(const Shape& shape, Random& random) {
    return draw_each(shape, [&](int64_t) {
        if (shape.rank() == 1) return 0.1 + 0.02 * random.uniform();
        const double sign = random.uniform() < 0.5 ? -1 : 1;
        return sign * (50 + random.normal());
    });
}

GradcheckFn with(FakeQuantizeOptions options, double zero_point = 0) {
    return [=](const auto& in) {
        return ops::fake_quantize(in[0], in[1], Tensor::full(in[1].shape(), zero_point, DType::f64), options);
    };
}

const bool registered = register_cases({
    {"fake_quantize", "one scale, 8 bits, clipped", {{3, 5}, {1}}, with({.bits = 8}, -128), clipped},
    {"fake_quantize", "a scale a row, 2 bits, clipped", {{3, 5, 7}, {3}}, with({.bits = 2, .axis = 0}), clipped},
    {"fake_quantize", "a scale a column, unsigned, clipped", {{2, 3, 5}, {5}},
     with({.bits = 4, .is_signed = false, .axis = 2}, 3), clipped},
    {"fake_quantize", "pact, no zero point, clipped", {{2, 1, 3, 3}, {1}}, [](const auto& in) {
         return ops::fake_quantize(in[0], in[1], {}, {.bits = 3, .rule = ScaleRule::pact});
     }, clipped},
});

Tensor quantized(const Tensor& x, float scale, float zero_point, const FakeQuantizeOptions& options) {
    return ops::fake_quantize(x, Tensor::full({1}, scale), Tensor::full({1}, zero_point), options).value();
}

}  // namespace

TEST_CASE("fake_quantize: halves go to even before the zero point is added, and what is out of range is clipped") {
    const Tensor x = Tensor::of<float>({9}, {-9, -1.5, -0.5, -0.25, 0, 0.5, 1.5, 2.5, 9});
    const auto expect = [&](const Tensor& y, const std::vector<float>& values) {
        for (int64_t i = 0; i < 9; ++i) CHECK(y.at(i) == values[static_cast<size_t>(i)]);
    };
    expect(quantized(x, 1, 0, {.bits = 3}), {-4, -2, 0, 0, 0, 0, 2, 2, 3});
    expect(quantized(x, 1, 1, {.bits = 3}), {-5, -2, 0, 0, 0, 0, 2, 2, 2});
    expect(quantized(x, 0.5, 0, {.bits = 2}), {-1, -1, -0.5, 0, 0, 0.5, 0.5, 0.5, 0.5});
    expect(quantized(x, 1, 2, {.bits = 2, .is_signed = false}), {-2, -2, 0, 0, 0, 0, 1, 1, 1});
    CHECK(quantized(Tensor::zeros({0, 3}), 1, 0, {}).numel() == 0);
    CHECK(quantized(Tensor::full({1}, 1), -3, 0, {}).item() == doctest::Approx(127 * kLeastScale));
}

TEST_CASE("fake_quantize: gives what integers do, to the bit; NaN stays NaN, for which integers have their lowest") {
    constexpr float kScale = 0.3f;
    for (const bool is_signed : {true, false})
        for (int bits = 2; bits <= 8; ++bits) {
            const auto [low, high] = integer_range(bits, is_signed);
            std::vector<float> x{INFINITY, -INFINITY, 1e30f, -1e30f, 0.f, -0.f};
            for (int64_t q = 2 * low - 3; q <= 2 * high + 3; ++q)  // levels, ties, and what lies beside them
                for (const float part : {0.f, 0.25f, 0.49999f, 0.5f})
                    x.push_back(kScale * (static_cast<float>(q) + part));
            const auto n = static_cast<int64_t>(x.size());
            for (const int64_t zero : {low, low + 1, high}) {
                const Tensor y = quantized(Tensor::of<float>({n}, x), kScale, static_cast<float>(zero),
                                           {.bits = bits, .is_signed = is_signed});
                const auto least = static_cast<int32_t>(low), most = static_cast<int32_t>(high),
                           about = static_cast<int32_t>(zero);
                std::vector<float> expected;
                for (const float each : x)
                    expected.push_back(integer::dequantize(integer::quantize(each, kScale, about, least, most), kScale,
                                                           about));
                CHECK(same(y, Tensor::of<float>({n}, expected)));
                CHECK(integer::quantize(NAN, kScale, about, least, most) == least);
            }
        }
    CHECK(std::isnan(quantized(Tensor::full({1}, NAN), kScale, 0, {}).item()));
}

TEST_CASE("fake_quantize: quantizing twice is quantizing once, for all bits") {
    const Tensor x = random_tensor({1000}, 3);
    for (int bits = 2; bits <= 8; ++bits)
        for (float scale : {0.013f, 0.31f}) {
            const Tensor once = quantized(x, scale, 1, {.bits = bits});
            CHECK(same(quantized(once, scale, 1, {.bits = bits}), once));
        }
}

// y = scale (x / scale + e) where the level is in range, e being the rounding error where the gradient is asked for.
TEST_CASE("fake_quantize: gradients are those of the function with its rounding errors frozen") {
    const int64_t rows = 4, columns = 50;
    const Tensor x = random_tensor({rows, columns}, 1, DType::f64), zero = Tensor::full({rows}, 1, DType::f64);
    const Tensor scale = Tensor::of<double>({rows}, {0.2, 0.5, 0.9, 1.5});
    for (const ScaleRule rule : {ScaleRule::lsq, ScaleRule::pact}) {
        const Variable v = Variable::leaf(x), s = Variable::leaf(scale);
        const Tensor dy = random_tensor({rows, columns}, 2, DType::f64);
        backward(ops::fake_quantize(v, s, zero, {.bits = 3, .axis = 0, .rule = rule, .scale_gradient = 0.25}), dy);
        for (int64_t k = 0; k < rows; ++k) {
            double expected = 0;
            for (int64_t i = k * columns; i < (k + 1) * columns; ++i) {
                const double at = x.at(i) / scale.at(k), level = std::nearbyint(at) + 1;
                const bool inside = level >= -4 && level <= 3;
                CHECK(v.grad().at(i) == (inside ? dy.at(i) : 0));
                const auto frozen = [&](double step) {
                    const double error = std::nearbyint(at) - at;
                    if (inside) return rule == ScaleRule::lsq ? step * (x.at(i) / step + error) : x.at(i);
                    return step * ((level < 0 ? -4 : 3) - 1);
                };
                const double h = 1e-5;
                expected += dy.at(i) * (frozen(scale.at(k) + h) - frozen(scale.at(k) - h)) / (2 * h);
            }
            CHECK(s.grad().at(k) == doctest::Approx(0.25 * expected).epsilon(1e-6));
        }
    }
}

TEST_CASE("fake_quantize: the same bits for one and two threads, forward and backward") {
    std::vector<Tensor> results[2];
    for (int count : {1, 2}) {
        set_threads(count);
        const Variable x = Variable::leaf(random_tensor({9, 31, 29, 17}, 1)),
                       scale = Variable::leaf(Tensor::full({1}, 0.3));
        const Variable y = ops::fake_quantize(x, scale, {}, {.bits = 4});
        backward(y, x.value());
        results[count - 1] = {y.value(), x.grad(), scale.grad()};
    }
    for (size_t i = 0; i < 3; ++i) CHECK(same(results[0][i], results[1][i]));
}

TEST_CASE("fake_quantize: bad arguments") {
    const Variable x = Tensor::zeros({4, 3}), one = Tensor::full({1}, 1), three = Tensor::full({3}, 1);
    const auto call = [&](const Variable& scale, const Variable& zero_point, const FakeQuantizeOptions& options) {
        return message_of([&] { ops::fake_quantize(x, scale, zero_point, options); });
    };
    CHECK(call(one, {}, {.bits = 9}) == "quantization: expected 2 to 8 bits, got 9");
    CHECK(call(one, {}, {.bits = 1}) == "quantization: expected 2 to 8 bits, got 1");
    CHECK(call(three, {}, {}) == "fake_quantize: expected scale [1], got [3]");
    CHECK(call(three, one, {.axis = 1}) == "fake_quantize: expected zero_point [3], got [1]");
    CHECK(call(one, {}, {.axis = 2}) == "fake_quantize: expected an axis of x [4, 3] or -1, got 2");
    CHECK(call(one, Tensor::full({1}, 0.5), {}) ==
          "fake_quantize: expected a zero_point that is an integer from -128 to 127, got 0.5");
    CHECK(call(one, Tensor::full({1}, -1), {.is_signed = false}) ==
          "fake_quantize: expected a zero_point that is an integer from 0 to 255, got -1");
}
