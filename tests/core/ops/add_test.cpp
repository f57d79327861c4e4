#include "lathe/core/ops/add.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lathe/tests/support/op_cases.h"
#include "lathe/tests/support/recorded.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

Variable plain(const std::vector<Variable>& in) { return ops::add(in[0], in[1]); }
Variable with_relu(const std::vector<Variable>& in) { return ops::add(in[0], in[1], Activation::relu); }

const bool registered = register_cases({
    {"add", "same shape", {{3, 1, 5}, {3, 1, 5}}, plain},
    {"add", "single numbers", {{}, {1, 1}}, plain},
    {"add", "by channel", {{2, 3, 3, 5}, {5}}, plain},
    {"add", "by image and channel", {{2, 3, 3, 5}, {2, 1, 1, 5}}, plain},
    {"add", "both repeat", {{3, 1, 5}, {2, 1, 4, 1}}, plain},
    {"add", "relu", {{3, 7}, {3, 7}}, with_relu},
    {"add", "relu by channel", {{3, 7}, {7}}, with_relu},
});

const bool recorded = register_recorded({
    {"add.same", [](const auto& in) { return ops::add(in["a"], in["b"]); }},
    {"add.relu", [](const auto& in) { return ops::add(in["a"], in["b"], Activation::relu); }},
    {"add.channels", [](const auto& in) { return ops::add(in["a"], in["b"]); }},
});

}  // namespace

TEST_CASE("add broadcasts like NumPy") {
    const Tensor a = Tensor::of<float>({2, 1, 2}, {1, 2, 3, 4}), b = Tensor::of<float>({3, 1}, {10, 20, 30});
    const Tensor y = ops::add(a, b).value();
    CHECK(y.shape() == Shape{2, 3, 2});
    const float expected[] = {11, 12, 21, 22, 31, 32, 13, 14, 23, 24, 33, 34};
    for (int i = 0; i < 12; ++i) CHECK(y.at(i) == expected[i]);
    CHECK_THROWS_WITH_AS(ops::add(Tensor::zeros({2, 3}), Tensor::zeros({2})),
                         "add: expected shapes that broadcast, got [2, 3] and [2]", Error);
}

TEST_CASE("add with relu keeps NaN and passes no gradient where the sum is not positive") {
    const Variable a = Variable::leaf(Tensor::of<float>({4}, {1, -2, 0, NAN}));
    const Variable y = ops::add(a, Tensor::zeros({4}), Activation::relu);
    CHECK(y.value().at(0) == 1);
    CHECK(y.value().at(1) == 0);
    CHECK(std::isnan(y.value().at(3)));
    backward(y, Tensor::full({4}, 1));
    CHECK(a.grad().at(0) == 1);
    CHECK(a.grad().at(1) == 0);
    CHECK(a.grad().at(2) == 0);
}

TEST_CASE("add to itself doubles the gradient") {
    const Variable a = Variable::leaf(Tensor::full({3}, 2));
    backward(ops::add(a, a), Tensor::full({3}, 1));
    CHECK(a.grad().at(1) == 2);
}
