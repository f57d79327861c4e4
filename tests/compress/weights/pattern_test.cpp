#include "lathe/compress/weights/pattern.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::compress;
using namespace lathe::testing;

namespace {

Tensor mask_rows(const std::vector<std::string>& rows) {
    std::vector<uint8_t> bits;
    for (const std::string& row : rows)
        for (char bit : row) bits.push_back(bit == '1');
    const auto height = static_cast<int64_t>(rows.size()), width = static_cast<int64_t>(rows[0].size());
    return Tensor::of({height, width}, bits);
}

Tensor magnitude(Tensor x) {
    float* values = x.mutable_data<float>();
    for (int64_t i = 0; i < x.numel(); ++i) values[i] = std::abs(values[i]);
    return x;
}

int64_t zeros(const Tensor& mask) {
    int64_t count = 0;
    for (int64_t i = 0; i < mask.numel(); ++i) count += mask.at(i) == 0;
    return count;
}

}  // namespace

TEST_CASE("mask: the course lab's two masks of its 5x5 example") {
    const Tensor importance = magnitude(Tensor::of<float>({5, 5}, {
        -0.46f, -0.40f, 0.39f, 0.19f, 0.37f,  0.00f, 0.40f, 0.17f, -0.15f, 0.16f,  -0.20f, -0.23f, 0.36f, 0.25f, 0.03f,
        0.24f, 0.41f, 0.07f, 0.13f, -0.15f,   0.48f, -0.09f, -0.36f, 0.12f, 0.45f}));
    CHECK(zeros_of(25, 0.75) == 19);
    const auto lab = [&](double sparsity) { return make_mask(importance, sparsity, {}, Ties::prune_all); };
    CHECK(same(lab(0.75), mask_rows({"11000", "01000", "00000", "01000", "10001"})));
    CHECK(same(lab(0.6), mask_rows({"11101", "01000", "00100", "01000", "10101"})));
    CHECK(zeros(make_mask(importance, 0)) == 0);
    CHECK(zeros(make_mask(importance, 1)) == 25);
}

TEST_CASE("mask: halves are rounded to even, ties with the threshold go or are broken exactly") {
    CHECK(zeros_of(5, 0.5) == 2);
    CHECK(zeros_of(7, 0.5) == 4);
    const Tensor importance = Tensor::of<float>({6}, {1, 2, 2, 2, 3, 4});
    CHECK(same(make_mask(importance, 0.5, {}, Ties::prune_all), Tensor::of<uint8_t>({6}, {0, 0, 0, 0, 1, 1})));
    CHECK(same(make_mask(importance, 0.5), Tensor::of<uint8_t>({6}, {0, 0, 0, 1, 1, 1})));
}

TEST_CASE("mask: exact ties meet the number asked for at every sparsity, and the lab's rule never keeps more") {
    Tensor importance = magnitude(random_tensor({7, 3, 3, 5}, 4));
    float* values = importance.mutable_data<float>();
    for (int64_t i = 0; i < importance.numel(); ++i) values[i] = std::round(values[i] * 4);  // many ties
    for (double sparsity = 0; sparsity <= 1; sparsity += 0.05) {
        const int64_t wanted = zeros_of(importance.numel(), sparsity);
        CHECK(zeros(make_mask(importance, sparsity)) == wanted);
        CHECK(zeros(make_mask(importance, sparsity, {}, Ties::prune_all)) >= wanted);
    }
}

TEST_CASE("mask: 2:4 keeps the two most important of four neighbouring input channels") {
    const Pattern pattern = parse_pattern("2:4");
    const Tensor importance = Tensor::of<float>({2, 4}, {1, 4, 3, 2, 5, 5, 5, 1});
    CHECK(same(make_mask(importance, 0.5, pattern), mask_rows({"0110", "1100"})));
    CHECK(same(make_mask(importance, 0.75, pattern), mask_rows({"0100", "1000"})));

    const Tensor conv = magnitude(random_tensor({3, 3, 3, 8}, 1)), mask = make_mask(conv, 0.5, pattern);
    for (int64_t i = 0; i < mask.numel(); i += 4)
        CHECK(mask.at(i) + mask.at(i + 1) + mask.at(i + 2) + mask.at(i + 3) == 2);
    CHECK(message_of([&] {
              make_mask(Tensor::zeros({2, 3, 3, 6}), 0.5, pattern);
          }) == "expected input channels that 4 divides, got 6");
}

TEST_CASE("mask: blocks go or stay as one, along the axes that the pattern names") {
    // [out 4, 1, 1, in 4]: a block is 1 output x 2 inputs, or 2 outputs x 1 input.
    const Tensor importance = Tensor::of<float>({4, 1, 1, 4}, {9, 1, 2, 2,  9, 1, 2, 3,  1, 1, 7, 8,  1, 2, 8, 7});
    const auto as_conv = [](const std::vector<std::string>& rows) { return mask_rows(rows).reshape({4, 1, 1, 4}); };
    CHECK(same(make_mask(importance, 0.5, parse_pattern("1x2")), as_conv({"1100", "1100", "0011", "0011"})));
    CHECK(same(make_mask(importance, 0.625, parse_pattern("2x1")), as_conv({"1000", "1000", "0011", "0011"})));

    // Kernel positions are apart: [out 2, kh 1, kw 2, in 1], block of two outputs.
    const Tensor taps = Tensor::of<float>({2, 1, 2, 1}, {5, 1, 5, 2});
    CHECK(same(make_mask(taps, 0.5, parse_pattern("2x1")), Tensor::of<uint8_t>({2, 1, 2, 1}, {1, 0, 1, 0})));
}

TEST_CASE("mask: blocks at the end may be smaller and count by their mean") {
    const Tensor importance = Tensor::of<float>({1, 5}, {1, 1, 1, 1, 2});
    CHECK(same(make_mask(importance, 0.5, parse_pattern("1x4")), mask_rows({"00001"})));
    const Tensor conv = magnitude(random_tensor({10, 3, 3, 3}, 2));
    for (const char* text : {"1x4", "4x1", "4x4"}) {
        const Pattern pattern = parse_pattern(text);
        const Tensor mask = make_mask(conv, 0.5, pattern);
        for (int64_t k = 0; k < 10; ++k)
            for (int64_t tap = 0; tap < 9; ++tap)
                for (int64_t c = 0; c < 3; ++c) {
                    const int64_t first = ((k / pattern.n * pattern.n) * 9 + tap) * 3 + c / pattern.m * pattern.m;
                    CHECK(mask.at((k * 9 + tap) * 3 + c) == mask.at(first));
                }
    }
}

TEST_CASE("mask: one threshold over several tensors") {
    const std::vector<Tensor> masks =
        make_masks({Tensor::of<float>({3}, {1, 2, 3}), Tensor::of<float>({3}, {4, 5, 6})}, 0.5);
    CHECK(zeros(masks[0]) == 3);
    CHECK(zeros(masks[1]) == 0);
}

TEST_CASE("mask: importance -infinity is never kept, NaN is an error") {
    const float never = -std::numeric_limits<float>::infinity();
    const Tensor importance = Tensor::of<float>({4}, {never, 1, never, 2});
    const Tensor left = Tensor::of<uint8_t>({4}, {0, 1, 0, 1});
    CHECK(same(make_mask(importance, 0), left));
    CHECK(same(make_mask(importance, 0.25), left));
    CHECK(same(make_mask(importance, 0.25, {}, Ties::prune_all), left));
    CHECK(same(make_mask(importance, 0.75), Tensor::of<uint8_t>({4}, {0, 0, 0, 1})));
    CHECK(same(make_mask(importance, 0.5, parse_pattern("2:4")), left));
    CHECK(same(make_mask(importance.reshape({1, 4}), 0, parse_pattern("1x2")), left.reshape({1, 4})));
    CHECK_THROWS_AS(make_mask(Tensor::of<float>({2}, {1, std::nanf("")}), 0.5), Error);
    CHECK_THROWS_AS(make_mask(importance, 1.1), Error);
}
