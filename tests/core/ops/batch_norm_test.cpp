#include <doctest/doctest.h>

#include <cmath>

#include "lathe/core/graph/trace.h"
#include "lathe/core/ops/batch_norm.h"
#include "lathe/tests/core/kernels/random_values.h"
#include "lathe/tests/support/op_cases.h"
#include "lathe/tests/support/recorded.h"

using namespace lathe;

using namespace lathe::testing;

namespace {

GradcheckFn with(bool training, Activation activation) {
    return [=](const auto& in) {
        const int64_t c = in[0].shape().back();
        Variable mean, var;
        if (!training) mean = Tensor::full({c}, 0.3, DType::f64), var = Tensor::full({c}, 0.7, DType::f64);
        return ops::batch_norm(in[0], in.size() > 1 ? in[1] : Variable(), in.size() > 2 ? in[2] : Variable(), mean, var,
                               {.training = training, .activation = activation});
    };
}

// Of x and bias: through the factor of the weight a gradient comes with the layer alone
// (compress/quantize/simulate_norms_test.cpp).
GradcheckFn folded(bool training, Activation activation) {
    return [=](const auto& in) {
        const int64_t c = in[0].shape().back();
        const Tensor mean = Tensor::full({c}, 0.3, DType::f64), var = Tensor::full({c}, 0.7, DType::f64);
        const Variable weight = training ? Variable() : Tensor::full({c}, -1.2, DType::f64);  // a constant is frozen
        return ops::batch_norm(in[0], weight, in[1], mean, var,
                               {.training = training, .activation = activation, .folded = true});
    };
}

const bool registered = register_cases({
    {"batch_norm", "training", {{2, 3, 3, 7}, {7}, {7}}, with(true, Activation::none)},
    {"batch_norm", "training, rank 2, no weight", {{7, 3}}, with(true, Activation::none)},
    {"batch_norm", "training, one image, relu", {{1, 3, 5, 5}, {5}, {5}}, with(true, Activation::relu)},
    {"batch_norm", "training, relu6", {{3, 5, 1, 16}, {16}, {16}}, with(true, Activation::relu6)},
    {"batch_norm", "training, hard_swish", {{2, 3, 3, 3}, {3}, {3}}, with(true, Activation::hard_swish)},
    {"batch_norm", "evaluation", {{2, 3, 3, 7}, {7}, {7}}, with(false, Activation::none)},
    {"batch_norm", "evaluation, one value a channel, no bias", {{1, 5}, {5}}, with(false, Activation::hard_swish)},
    {"batch_norm", "training, folded", {{2, 3, 3, 7}, {7}}, folded(true, Activation::relu)},
    {"batch_norm", "folded, evaluation", {{2, 3, 3, 7}, {7}}, folded(false, Activation::hard_swish)},
    {"batch_norm", "evaluation, relu", {{1, 3, 5, 5}, {5}, {5}}, with(false, Activation::relu)},
});

RecordedCase recorded_case(const std::string& name, const ops::BatchNormOptions& options = {}) {
    return {"batch_norm." + name, [=](const RecordedInputs& in) {
                return ops::batch_norm(in["x"], in["weight"], in["bias"], in["running_mean"], in["running_var"],
                                       options);
            }};
}

const bool recorded = register_recorded({
    recorded_case("training", {.momentum = 0.2}),
    recorded_case("training_relu", {.activation = Activation::relu}),
    recorded_case("training_relu6", {.eps = 1e-3, .activation = Activation::relu6}),
    recorded_case("training_hard_swish", {.activation = Activation::hard_swish}),
    recorded_case("training_rank2"),
    recorded_case("evaluation", {.training = false}),
    recorded_case("evaluation_relu", {.training = false, .activation = Activation::relu}),
    recorded_case("no_weight"),
});

}  // namespace

TEST_CASE("batch_norm: running statistics as PyTorch keeps them") {
    const Tensor x = Tensor::of<float>({4, 1}, {1, 2, 3, 6});  // mean 3, variance 3.5 (biased), 14 / 3 (unbiased)
    const Variable weight = Tensor::full({1}, 2), bias = Tensor::full({1}, 1);
    Tensor mean = Tensor::full({1}, 10), var = Tensor::full({1}, 1);
    const Variable y = ops::batch_norm(x, weight, bias, mean, var, {.momentum = 0.25});
    CHECK(mean.item() == doctest::Approx(0.75 * 10 + 0.25 * 3));
    CHECK(var.item() == doctest::Approx(0.75 + 0.25 * 14 / 3));
    for (int i = 0; i < 4; ++i)
        CHECK(y.value().at(i) == doctest::Approx((x.at(i) - 3) / std::sqrt(3.5 + 1e-5) * 2 + 1));

    const double running_mean = mean.item(), running_var = var.item();
    const Variable z = ops::batch_norm(x, weight, bias, mean, var, {.training = false});
    CHECK(z.value().at(0) == doctest::Approx((1 - running_mean) / std::sqrt(running_var + 1e-5) * 2 + 1));
    CHECK(mean.item() == running_mean);
}

TEST_CASE("batch_norm: variance of values far from zero") {
    for (double offset : {0.0, 1e3, -1e4}) {
        const int64_t n = 10000, c = 3;
        auto values = random_values<float>(n * c, 1);
        for (float& v : values) v = static_cast<float>(v * 0.5 + offset);
        std::vector<double> mean(c), squares(c);
        for (int64_t i = 0; i < n * c; ++i) mean[i % c] += values[i] / double(n);
        for (int64_t i = 0; i < n * c; ++i) squares[i % c] += std::pow(values[i] - mean[i % c], 2) / (n - 1);
        Tensor running_mean = Tensor::zeros({c}), running_var = Tensor::zeros({c});
        ops::batch_norm(Tensor::of<float>({n, c}, values), {}, {}, running_mean, running_var, {.momentum = 1});
        for (int64_t k = 0; k < c; ++k) {
            CHECK(running_mean.at(k) == doctest::Approx(mean[k]).epsilon(1e-6));
            CHECK(running_var.at(k) == doctest::Approx(squares[k]).epsilon(1e-6));
        }
    }
}

TEST_CASE("batch_norm, folded: what it gives is the norm of x / f, and its statistics move in backward") {
    const Tensor x = Tensor::of<float>({4, 2}, {1, 1, 2, 3, 3, 2, 6, -4});
    const Variable weight = Variable::leaf(Tensor::of<float>({2}, {2, -0.5f})), bias = Tensor::of<float>({2}, {1, 3});
    const Tensor mean = Tensor::of<float>({2}, {0.5f, -1}), var = Tensor::of<float>({2}, {4, 0.25f});
    Tensor x_of_f = x.clone();  // what a layer makes of its weight times f
    for (int64_t i = 0; i < 8; ++i)
        x_of_f.mutable_data<float>()[i] *=
            static_cast<float>(ops::folded_factor(weight.value().at(i % 2), var.at(i % 2), 1e-5));
    for (const bool training : {true, false}) {
        const Tensor mean_plain = mean.clone(), var_plain = var.clone(), mean_folded = mean.clone(),
                     var_folded = var.clone();
        const Variable plain =
            ops::batch_norm(x, weight, bias, mean_plain, var_plain, {.training = training});
        const Variable folded =
            ops::batch_norm(x_of_f, weight, bias, mean_folded, var_folded, {.training = training, .folded = true});
        for (int64_t i = 0; i < 8; ++i)
            CHECK(folded.value().at(i) == doctest::Approx(plain.value().at(i)).epsilon(1e-5));
        for (int64_t k = 0; k < 2; ++k) CHECK(mean_folded.at(k) == mean.at(k));
        backward(folded, Tensor::full({4, 2}, 1));
        CHECK(mean_folded.at(1) == doctest::Approx(mean_plain.at(1)).epsilon(1e-5));
        CHECK(var_folded.at(0) == doctest::Approx(var_plain.at(0)).epsilon(1e-5));
    }
    CHECK(ops::folded_factor(0, 1, 0) == ops::kLeastFoldedWeight);
    CHECK(ops::folded_factor(-1e-9, 4, 0) == -ops::kLeastFoldedWeight / 2);
    CHECK_THROWS_WITH_AS(ops::batch_norm(x, weight, bias, {}, {}, {.folded = true}),
                         "batch_norm: expected running statistics when folded", Error);
}

TEST_CASE("batch_norm: bad arguments") {
    const Variable x = Tensor::zeros({4, 3}), ones = Tensor::full({3}, 1), two = Tensor::full({2}, 1);
    CHECK_THROWS_WITH_AS(ops::batch_norm(x, two, {}, ones, ones), "batch_norm: expected weight [3], got [2]", Error);
    CHECK_THROWS_WITH_AS(ops::batch_norm(Tensor::zeros({1, 1, 1, 3}), {}, {}, {}, {}),
                         "batch_norm: expected more than one value per channel when training, got x [1, 1, 1, 3]",
                         Error);
    CHECK_NOTHROW(ops::batch_norm(Tensor::zeros({1, 3}), {}, {}, ones, ones, {.training = false}));
    CHECK_THROWS_AS(ops::batch_norm(x, {}, {}, {}, {}, {.training = false}), Error);
    CHECK_THROWS_AS(ops::batch_norm(x, {}, {}, ones, {}), Error);
    CHECK_THROWS_AS(ops::batch_norm(Tensor::zeros({3}), {}, {}, {}, {}), Error);
    CHECK_THROWS_AS(ops::batch_norm(x, {}, {}, {}, {}, {.activation = Activation::gelu}), Error);
}

TEST_CASE("batch_norm: the graph holds its settings and finds its buffers") {
    const Tensor weight = Tensor::full({3}, 1), bias = Tensor::zeros({3}), mean = Tensor::zeros({3}),
                 var = Tensor::full({3}, 1);
    const Graph graph = trace(
        [&](const Variable& x) {
            return ops::batch_norm(x, weight, bias, mean, var,
                                   {.training = false, .eps = 0.5, .activation = Activation::relu6});
        },
        Tensor::zeros({2, 3}), {{mean.raw(), {"buffer", "running_mean"}}, {var.raw(), {"buffer", "running_var"}}});
    const GraphNode& node = graph.nodes[graph.output];
    CHECK(node.op == "batch_norm");
    CHECK(node.attributes.str() == "momentum=0.1 eps=0.5 activation=relu6");
    CHECK(graph.nodes[node.inputs[3]].path == "running_mean");
    CHECK(graph.nodes[node.inputs[4]].path == "running_var");
}
