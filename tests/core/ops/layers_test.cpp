#include <doctest/doctest.h>

#include "lathe/core/kernels/conv2d/algorithms.h"
#include "lathe/core/kernels/conv2d/direct.h"
#include "lathe/core/ops/activation.h"
#include "lathe/core/ops/conv2d.h"
#include "lathe/core/ops/linear.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/support/op_cases.h"
#include "lathe/tests/support/recorded.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

GradcheckFn convolution(const ops::Conv2dOptions& options) {
    return [=](const auto& in) { return ops::conv2d(in[0], in[1], in.size() > 2 ? in[2] : Variable(), options); };
}
Variable linear(const std::vector<Variable>& in) {
    return ops::linear(in[0], in[1], in.size() > 2 ? in[2] : Variable());
}

const bool registered = register_cases({
    {"conv2d", "3x3, bias", {{2, 5, 4, 3}, {4, 3, 3, 3}, {4}}, convolution({.padding = 1})},
    {"conv2d", "1x1", {{1, 3, 5, 3}, {5, 1, 1, 3}}, convolution({})},
    {"conv2d", "stride above the kernel", {{1, 7, 8, 2}, {3, 2, 1, 2}}, convolution({.stride = {3, 2}})},
    {"conv2d", "dilation, uneven padding", {{1, 6, 5, 2}, {2, 2, 3, 2}},
     convolution({.padding = {1, 2, 0, 3}, .dilation = {2, 1}})},
    {"conv2d", "two groups", {{1, 4, 5, 4}, {6, 3, 3, 2}, {6}}, convolution({.stride = 2, .padding = 1, .groups = 2})},
    {"conv2d", "depthwise", {{2, 5, 5, 3}, {3, 3, 3, 1}, {3}}, convolution({.stride = 2, .padding = 1, .groups = 3})},
    {"linear", "bias", {{3, 5}, {2, 5}, {2}}, linear},
    {"linear", "one row", {{1, 7}, {3, 7}}, linear},
    {"linear", "more axes", {{2, 3, 5}, {2, 5}, {2}}, linear},
});

std::function<Variable(const RecordedInputs&)> recorded_convolution(const ops::Conv2dOptions& options) {
    return [=](const auto& in) { return ops::conv2d(in["x"], in["weight"], in["bias"], options); };
}
Variable recorded_linear(const RecordedInputs& in) { return ops::linear(in["x"], in["weight"], in["bias"]); }

const bool recorded = register_recorded({
    {"conv2d.3x3", recorded_convolution({.padding = 1})},
    {"conv2d.1x1", recorded_convolution({})},
    {"conv2d.image_stride2", recorded_convolution({.stride = 2, .padding = 2})},
    {"conv2d.dilation_uneven", recorded_convolution({.padding = {1, 2, 0, 3}, .dilation = {2, 1}})},
    {"conv2d.groups", recorded_convolution({.stride = 2, .padding = 1, .groups = 2})},
    {"conv2d.depthwise", recorded_convolution({.padding = 1, .groups = 9})},
    {"conv2d.depthwise_stride2", recorded_convolution({.stride = 2, .padding = 2, .groups = 8})},
    {"linear.bias", recorded_linear},
    {"linear.no_bias", recorded_linear},
    {"relu", [](const auto& in) { return ops::relu(in["x"]); }},
});

}  // namespace

TEST_CASE("conv2d, linear and relu name what does not fit") {
    const Tensor image = Tensor::zeros({1, 4, 4, 3});
    CHECK_THROWS_WITH_AS(ops::conv2d(image, Tensor::zeros({2, 3, 3, 4})),
                         "conv2d: expected input [N, H, W, 4], got [1, 4, 4, 3]", Error);
    CHECK_THROWS_AS(ops::conv2d(image, Tensor::zeros({2, 5, 5, 3})), Error);
    CHECK_THROWS_AS(ops::conv2d(image, Tensor::zeros({3, 3, 3, 1}), {}, {.groups = 2}), Error);
    CHECK_THROWS_AS(ops::conv2d(image, Tensor::zeros({2, 3, 3, 3}), Tensor::zeros({3})), Error);
    CHECK_THROWS_WITH_AS(ops::linear(Tensor::zeros({2, 3}), Tensor::zeros({5, 4})),
                         "linear: expected x [..., 4], got [2, 3]", Error);
    CHECK_THROWS_AS(ops::linear(Tensor::zeros({2, 3}), Tensor::zeros({5, 3}), Tensor::zeros({3})), Error);
    CHECK_THROWS_AS(ops::relu(Tensor::zeros({2}, DType::i32)), Error);
}

TEST_CASE("an exact conv2d adds up the products themselves, but where gradients are recorded") {
    const Tensor x = random_tensor({1, 16, 16, 64}, 1), w = random_tensor({64, 3, 3, 64}, 2);
    const kernels::Conv2dShape shape{.batch = 1, .in_h = 16, .in_w = 16, .in_c = 64, .out_h = 16, .out_w = 16,
                                     .out_c = 64, .kernel_h = 3, .kernel_w = 3, .pad_top = 1, .pad_left = 1};
    REQUIRE(kernels::conv2d_algorithm_names(shape).find("winograd") != std::string::npos);
    const auto result = [&](bool exact, bool gradients) {
        const Variable weight = gradients ? Variable::leaf(w) : Variable(w);
        return ops::conv2d(x, weight, {}, {.padding = 1, .exact = exact}).value();
    };
    Tensor direct({1, 16, 16, 64}), plain, exact;
    kernels::direct::prepare(shape, w.data<float>())->forward(1, x.data<float>(), {}, direct.mutable_data<float>());
    {
        const NoGrad no_grad;
        plain = result(false, false), exact = result(true, false);
    }
    CHECK(same(exact, direct));
    CHECK(!same(plain, direct));
    CHECK(same(result(true, true), plain));
}
