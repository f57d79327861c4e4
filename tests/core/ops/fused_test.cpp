#include <doctest/doctest.h>

#include "lathe/core/ops/activation.h"
#include "lathe/core/ops/add.h"
#include "lathe/core/ops/conv2d.h"
#include "lathe/core/ops/linear.h"
#include "lathe/tests/support/op_cases.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

const bool registered = register_cases({
    {"conv2d_fused", "addend and relu", {{2, 5, 4, 3}, {6, 3, 3, 3}, {6}, {2, 5, 4, 6}}, [](const auto& in) {
         return ops::conv2d_fused(in[0], in[1], in[2], in[3], Activation::relu, {.padding = 1});
     }},
    {"conv2d_fused", "groups and relu6, no bias", {{1, 4, 4, 4}, {4, 3, 3, 2}}, [](const auto& in) {
         return ops::conv2d_fused(in[0], in[1], {}, {}, Activation::relu6, {.stride = 2, .padding = 1, .groups = 2});
     }},
    {"linear_fused", "addend and relu", {{3, 5}, {4, 5}, {4}, {3, 4}}, [](const auto& in) {
         return ops::linear_fused(in[0], in[1], in[2], in[3], Activation::relu);
     }},
    {"linear_fused", "rows of an image, nothing behind", {{2, 3, 5}, {4, 5}}, [](const auto& in) {
         return ops::linear_fused(in[0], in[1], {}, {}, Activation::none);
     }},
});

}  // namespace

TEST_CASE("a fused layer is the layer, the addition and the activation, with their gradients") {
    Random random(3);
    const auto leaf = [&](const Shape& shape) { return Variable::leaf(normal(shape, random).to(DType::f32)); };
    const Variable x = leaf({2, 6, 5, 8}), w = leaf({16, 3, 3, 8}), b = leaf({16}), addend = leaf({2, 6, 5, 16});
    const Variable y = ops::conv2d_fused(x, w, b, addend, Activation::relu, {.padding = 1});
    const Tensor dy = normal({2, 6, 5, 16}, random).to(DType::f32);
    backward(y, dy.clone());
    std::vector<Tensor> fused;
    for (const Variable* v : {&x, &w, &b, &addend}) fused.push_back(v->grad().clone());
    for (Variable v : {x, w, b, addend}) v.zero_grad();
    const Variable plain = ops::relu(ops::add(ops::conv2d(x, w, b, {.padding = 1}), addend));
    backward(plain, dy.clone());
    for (int64_t i = 0; i < y.value().numel(); ++i)
        CHECK(y.value().at(i) == doctest::Approx(plain.value().at(i)).epsilon(1e-5));
    size_t k = 0;
    for (const Variable* v : {&x, &w, &b, &addend}) {
        for (int64_t i = 0; i < v->grad().numel(); i += 7)
            CHECK(fused[k].at(i) == doctest::Approx(v->grad().at(i)).epsilon(1e-4));
        ++k;
    }
}

TEST_CASE("a fused layer refuses other activations and addends that do not fit") {
    const Variable x = Tensor::zeros({1, 2}), w = Tensor::zeros({3, 2});
    CHECK_THROWS_WITH(ops::linear_fused(x, w, {}, {}, Activation::gelu),
                      "linear_fused: expected the activation none, relu or relu6, got gelu");
    CHECK_THROWS_WITH(ops::linear_fused(x, w, {}, Tensor::zeros({3}), Activation::none),
                      "linear_fused: expected an addend like the result [1, 3], got [3]");
}
