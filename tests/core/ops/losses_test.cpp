#include <doctest/doctest.h>

#include "lathe/core/ops/kl_div.h"
#include "lathe/core/ops/l1.h"
#include "lathe/core/ops/mse.h"
#include "lathe/core/ops/soft_cross_entropy.h"
#include "lathe/core/ops/softmax.h"
#include "lathe/tests/support/op_cases.h"
#include "lathe/tests/support/recorded.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

// A constant of the shape of the checked input.
Tensor target(const Variable& x) {
    Random random(99);
    return normal(x.shape(), random);
}
Tensor probabilities(const Variable& x) { return ops::softmax(target(x)).value(); }

const bool registered = register_cases({
    {"soft_cross_entropy", "probabilities", {{5, 7}},
     [](const auto& in) { return ops::soft_cross_entropy(in[0], probabilities(in[0])); }},
    {"soft_cross_entropy", "targets that add up to something else", {{5, 7}},
     [](const auto& in) { return ops::soft_cross_entropy(in[0], target(in[0])); }},
    {"kl_div", "plain", {{5, 7}}, [](const auto& in) { return ops::kl_div(in[0], target(in[0])); }},
    {"kl_div", "temperature", {{1, 5, 3}},
     [](const auto& in) { return ops::kl_div(in[0], target(in[0]), {.temperature = 4}); }},
    {"mse", "any shape", {{3, 5, 2}}, [](const auto& in) { return ops::mse(in[0], target(in[0])); }},
    {"mse", "single number", {{}}, [](const auto& in) { return ops::mse(in[0], target(in[0])); }},
    {"l1", "away from the target", {{3, 5}},
     [](const auto& in) { return ops::l1(in[0], Tensor::zeros(in[0].shape(), DType::f64)); }, away_from({0})},
    {"softmax", "last axis", {{2, 3, 5}}, [](const auto& in) { return ops::softmax(in[0]); }},
    {"log_softmax", "last axis", {{2, 3, 5}}, [](const auto& in) { return ops::log_softmax(in[0]); }},
});

const bool recorded = register_recorded({
    {"soft_cross_entropy", [](const auto& in) { return ops::soft_cross_entropy(in["logits"], in.tensor("target")); }},
    {"kl_div", [](const auto& in) { return ops::kl_div(in["logits"], in.tensor("teacher")); }},
    {"kl_div.temperature",
     [](const auto& in) { return ops::kl_div(in["logits"], in.tensor("teacher"), {.temperature = 4}); }},
    {"mse", [](const auto& in) { return ops::mse(in["x"], in.tensor("target")); }},
    {"l1", [](const auto& in) { return ops::l1(in["x"], in.tensor("target")); }},
    {"softmax", [](const auto& in) { return ops::softmax(in["x"]); }},
    {"log_softmax", [](const auto& in) { return ops::log_softmax(in["x"]); }},
});

}  // namespace

TEST_CASE("losses refuse targets of another shape and empty input") {
    const Tensor x = Tensor::zeros({2, 3}), other = Tensor::zeros({3, 2}), none = Tensor::zeros({0, 3});
    CHECK_THROWS_WITH_AS(ops::mse(x, other), "mse: expected a target like x [2, 3], got [3, 2]", Error);
    CHECK_THROWS_AS(ops::l1(x, other), Error);
    CHECK_THROWS_AS(ops::kl_div(x, other), Error);
    CHECK_THROWS_AS(ops::kl_div(x, x, {.temperature = 0}), Error);
    CHECK_THROWS_AS(ops::soft_cross_entropy(x, other), Error);
    CHECK_THROWS_AS(ops::soft_cross_entropy(none, none), Error);
    CHECK_THROWS_AS(ops::mse(none, none), Error);
    CHECK_THROWS_AS(ops::softmax(Tensor::zeros({2, 0})), Error);
    CHECK_THROWS_AS(ops::softmax(Tensor::scalar(1)), Error);
}

TEST_CASE("softmax of enormous numbers stays finite") {
    const Tensor x = Tensor::of<float>({3}, {3e38f, -3e38f, 3e38f});
    CHECK(ops::softmax(x).value().at(0) == 0.5);
    CHECK(ops::softmax(x).value().at(1) == 0);
    CHECK(ops::log_softmax(Tensor::of<float>({2}, {1000, 0})).value().at(1) == -1000);
}

TEST_CASE("a student equal to its teacher has no loss and no gradient") {
    Random random(2);
    const Variable x = Variable::leaf(normal({4, 6}, random));
    const Variable loss = ops::kl_div(x, x.value(), {.temperature = 3});
    backward(loss);
    CHECK(loss.value().item() == doctest::Approx(0));
    for (int i = 0; i < 24; ++i) CHECK(x.grad().at(i) == 0);
}
