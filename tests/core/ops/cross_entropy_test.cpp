#include "lathe/core/ops/cross_entropy.h"

#include <doctest/doctest.h>

#include "lathe/tests/support/op_cases.h"
#include "lathe/tests/support/recorded.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

const Tensor kLabels = Tensor::of<int32_t>({5}, {0, 6, 3, 3, 1});

const bool registered = register_cases({
    {"cross_entropy", "plain", {{5, 7}}, [](const auto& in) { return ops::cross_entropy(in[0], kLabels); }},
    {"cross_entropy", "smoothed", {{5, 7}},
     [](const auto& in) { return ops::cross_entropy(in[0], kLabels, {.label_smoothing = 0.1}); }},
    {"cross_entropy", "more axes", {{1, 5, 7}},
     [](const auto& in) { return ops::cross_entropy(in[0], kLabels.reshape({1, 5})); }},
});

const bool recorded = register_recorded({
    {"cross_entropy", [](const auto& in) { return ops::cross_entropy(in["logits"], in.tensor("labels")); }},
    {"cross_entropy.smoothed",
     [](const auto& in) { return ops::cross_entropy(in["logits"], in.tensor("labels"), {.label_smoothing = 0.1}); }},
});

}  // namespace

TEST_CASE("cross entropy of even logits is log K, of enormous ones finite") {
    CHECK(ops::cross_entropy(Tensor::zeros({5, 7}), kLabels).value().item() == doctest::Approx(std::log(7.0)));
    const Tensor huge = Tensor::of<float>({1, 3}, {1e30f, -1e30f, 0});
    CHECK(ops::cross_entropy(huge, Tensor::of<int32_t>({1}, {0})).value().item() == 0);
}

TEST_CASE("cross entropy refuses labels that do not fit") {
    const Tensor logits = Tensor::zeros({2, 3});
    CHECK_THROWS_WITH_AS(ops::cross_entropy(logits, Tensor::of<int32_t>({2}, {0, 3})),
                         "cross_entropy: label 1 is 3, expected one of 3 classes from 0", Error);
    CHECK_THROWS_AS(ops::cross_entropy(logits, Tensor::of<int32_t>({2}, {-1, 0})), Error);
    CHECK_THROWS_AS(ops::cross_entropy(logits, Tensor::of<int32_t>({3}, {0, 0, 0})), Error);
    CHECK_THROWS_AS(ops::cross_entropy(logits, Tensor::zeros({2})), Error);
    CHECK_THROWS_AS(ops::cross_entropy(Tensor::zeros({0, 3}), Tensor(Shape{0}, DType::i32)), Error);
}
