#include "lathe/core/kernels/conv2d/inverted_residual.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/core/kernels/conv2d/conv2d_cases.h"
#include "lathe/tests/core/kernels/random_values.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

struct Block {
    Conv2dShape expand, depthwise, project;

    Block(int64_t batch, int64_t h, int64_t w, int64_t in, int64_t many, int64_t out, int64_t stride, int64_t pad_top,
          int64_t pad_left)
        : expand{batch, h, w, in, h, w, many, 1, 1},
          depthwise{batch, h, w, many, (h - 1 + 2 * pad_top - 2) / stride + 1, (w - 1 + 2 * pad_left - 2) / stride + 1,
                    many, 3, 3, stride, stride, pad_top, pad_left, 1, 1, many},
          project{batch, depthwise.out_h, depthwise.out_w, many, depthwise.out_h, depthwise.out_w, out, 1, 1} {}
};

const Block kBlocks[] = {
    {1, 8, 8, 16, 96, 24, 1, 1, 1},   {3, 9, 7, 5, 33, 17, 1, 1, 1},  {2, 13, 6, 8, 48, 8, 2, 1, 1},
    {1, 1, 1, 3, 5, 2, 1, 1, 1},      {2, 3, 4, 24, 40, 1, 2, 1, 1},  {1, 5, 40, 4, 20, 100, 1, 1, 1},
    {1, 30, 3, 7, 19, 9, 2, 1, 1},    {1, 6, 5, 2, 3, 4, 1, 0, 1},    {2, 7, 9, 3, 8, 5, 2, 0, 0},
    {1, 4, 4, 160, 960, 320, 1, 1, 1}, {5, 6, 6, 16, 64, 16, 1, 1, 1}, {1, 56, 56, 24, 144, 24, 1, 1, 1},
};

struct Values {
    std::vector<float> f32;
    std::vector<double> f64;
    Values(int64_t count, unsigned seed) : f32(random_values<float>(count, seed)), f64(f32.begin(), f32.end()) {}
};

struct Inputs {
    Values x, w1, w2, w3, b1, b2, b3, addend;

    explicit Inputs(const Block& b)
        : x(x_size(b.expand), 1),
          w1(weight_size(b.expand), 2),
          w2(weight_size(b.depthwise), 3),
          w3(weight_size(b.project), 4),
          b1(b.expand.out_c, 5),
          b2(b.expand.out_c, 6),
          b3(b.project.out_c, 7),
          addend(y_size(b.project), 8) {}

    InvertedResidual prepare(const Block& b) const {
        return InvertedResidual(b.expand, w1.f32.data(), b.depthwise, w2.f32.data(), b.project, w3.f32.data());
    }
};

// The float64 reference: three convolutions, clamped to [0, 1.5] twice.
std::vector<double> reference(const Block& b, const Inputs& in, bool biases) {
    std::vector<double> many(static_cast<size_t>(y_size(b.expand))), fewer(static_cast<size_t>(y_size(b.depthwise))),
        y(static_cast<size_t>(y_size(b.project)));
    const auto clamp = [](std::vector<double>& values) {
        for (double& v : values) v = std::clamp(v, 0.0, 1.5);
    };
    conv2d_forward(b.expand, in.x.f64.data(), in.w1.f64.data(), biases ? in.b1.f64.data() : nullptr, many.data());
    clamp(many);
    conv2d_forward(b.depthwise, many.data(), in.w2.f64.data(), biases ? in.b2.f64.data() : nullptr, fewer.data());
    clamp(fewer);
    conv2d_forward(b.project, fewer.data(), in.w3.f64.data(), biases ? in.b3.f64.data() : nullptr, y.data());
    return y;
}

double difference(const std::vector<float>& y, const std::vector<double>& expected) {
    double most = 0;
    for (size_t i = 0; i < y.size(); ++i) most = std::max(most, std::abs(y[i] - expected[i]));
    return most / (1 + *std::max_element(expected.begin(), expected.end()));
}

}  // namespace

TEST_CASE("an inverted residual block agrees with its three convolutions in float64") {
    for (const Block& b : kBlocks) {
        CAPTURE(&b - kBlocks);
        REQUIRE(InvertedResidual::suits(b.expand, b.depthwise, b.project));
        const Inputs in(b);
        std::vector<double> plain = reference(b, in, false), biased = reference(b, in, true), sum = biased;
        for (size_t i = 0; i < sum.size(); ++i) sum[i] = std::clamp(sum[i] + in.addend.f64[i], -1.0, 2.0);
        for_each_isa([&] {
            const InvertedResidual block = in.prepare(b);
            const int64_t batch = b.expand.batch;
            const float* x = in.x.f32.data();
            std::vector<float> y(plain.size(), NAN);
            block.forward(batch, x, {.low = 0, .high = 1.5f}, {.low = 0, .high = 1.5f}, {}, nullptr, y.data());
            CHECK(difference(y, plain) < 2e-5);
            const Epilogue first{in.b1.f32.data(), 0, 1.5f}, second{in.b2.f32.data(), 0, 1.5f};
            std::fill(y.begin(), y.end(), NAN);
            block.forward(batch, x, first, second, {in.b3.f32.data()}, nullptr, y.data());
            CHECK(difference(y, biased) < 2e-5);
            const Epilogue last{in.b3.f32.data(), -1, 2, true};
            std::fill(y.begin(), y.end(), NAN);
            block.forward(batch, x, first, second, last, in.addend.f32.data(), y.data());
            CHECK(difference(y, sum) < 2e-5);
            std::vector<float> over = in.addend.f32;  // onto what y holds
            block.forward(batch, x, first, second, last, over.data(), over.data());
            CHECK(over == y);
            float guard = 7;
            block.forward(0, &guard, first, second, {}, nullptr, &guard);
            CHECK(guard == 7);
        });
    }
}

TEST_CASE("an inverted residual block gives the same bits for any number of threads") {
    const int before = threads();
    for (const Block& b : kBlocks) {
        CAPTURE(&b - kBlocks);
        const Inputs in(b);
        std::vector<float> y[3];
        for (int i : {0, 1, 2}) {
            set_threads(i + 1);
            y[i].resize(in.addend.f32.size());
            in.prepare(b).forward(b.expand.batch, in.x.f32.data(), {.low = 0}, {.low = 0}, {}, nullptr, y[i].data());
        }
        CHECK(y[0] == y[1]);
        CHECK(y[0] == y[2]);
    }
    set_threads(before);
}

TEST_CASE("an inverted residual block is two plain 1x1 around a depthwise 3x3") {
    const Block good(1, 8, 8, 4, 8, 4, 1, 1, 1);
    Block b = good;
    b.depthwise.groups = 4;
    CHECK_FALSE(InvertedResidual::suits(b.expand, b.depthwise, b.project));
    b = good;
    b.depthwise.kernel_h = b.depthwise.kernel_w = 5;
    CHECK_FALSE(InvertedResidual::suits(b.expand, b.depthwise, b.project));
    b = good;
    b.depthwise.dilation_h = 2;
    CHECK_FALSE(InvertedResidual::suits(b.expand, b.depthwise, b.project));
    b = good;
    b.depthwise.stride_h = 2;
    CHECK_FALSE(InvertedResidual::suits(b.expand, b.depthwise, b.project));
    b = good;
    b.expand.groups = 2;
    CHECK_FALSE(InvertedResidual::suits(b.expand, b.depthwise, b.project));
    b = good;
    b.project.kernel_h = 3;
    CHECK_FALSE(InvertedResidual::suits(b.expand, b.depthwise, b.project));
}
