#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "lathe/core/graph/trace.h"
#include "lathe/core/ops/activation.h"
#include "lathe/tests/support/op_cases.h"
#include "lathe/tests/support/recorded.h"

using namespace lathe;

using namespace lathe::testing;

namespace {

constexpr Activation kAll[] = {Activation::relu,         Activation::relu6,   Activation::hard_swish,
                               Activation::hard_sigmoid, Activation::sigmoid, Activation::tanh, Activation::gelu};

OpCase gradient_case(const char* op, Variable (*f)(const Variable&), std::vector<double> kinks = {}) {
    return {op, "any shape", {{1, 5, 3, 2}}, [f](const auto& in) { return f(in[0]); }, away_from(kinks)};
}

const bool registered = register_cases({
    gradient_case("relu", ops::relu, {0}),
    gradient_case("relu6", ops::relu6, {0, 6}),
    gradient_case("hard_swish", ops::hard_swish, {-3, 3}),
    gradient_case("hard_sigmoid", ops::hard_sigmoid, {-3, 3}),
    gradient_case("sigmoid", ops::sigmoid),
    gradient_case("tanh", ops::tanh),
    gradient_case("gelu", ops::gelu),
    {"activation", "one number", {{}}, [](const auto& in) { return ops::activation(in[0], Activation::tanh); }},
});

const bool recorded = register_recorded({
    {"relu6", [](const auto& in) { return ops::relu6(in["x"]); }},
    {"hard_swish", [](const auto& in) { return ops::hard_swish(in["x"]); }},
    {"hard_sigmoid", [](const auto& in) { return ops::hard_sigmoid(in["x"]); }},
    {"sigmoid", [](const auto& in) { return ops::sigmoid(in["x"]); }},
    {"tanh", [](const auto& in) { return ops::tanh(in["x"]); }},
    {"gelu", [](const auto& in) { return ops::gelu(in["x"]); }},
});

}  // namespace

TEST_CASE("activations: known values") {
    const Tensor x = Tensor::of<float>({7}, {-4, -3, -1, 0, 1, 3, 7});
    auto expect = [&](Activation activation, const std::vector<double>& values) {
        const Tensor y = ops::activation(x, activation).value();
        for (int i = 0; i < 7; ++i) {
            INFO(std::string(name_of(activation)), " at ", x.at(i));
            CHECK(y.at(i) == doctest::Approx(values[i]).epsilon(1e-6));
        }
    };
    expect(Activation::none, {-4, -3, -1, 0, 1, 3, 7});
    expect(Activation::relu, {0, 0, 0, 0, 1, 3, 7});
    expect(Activation::relu6, {0, 0, 0, 0, 1, 3, 6});
    expect(Activation::hard_swish, {0, 0, -1.0 / 3, 0, 2.0 / 3, 3, 7});
    expect(Activation::hard_sigmoid, {0, 0, 1.0 / 3, 0.5, 2.0 / 3, 1, 1});
    expect(Activation::sigmoid, {0.01798621, 0.04742587, 0.26894142, 0.5, 0.73105858, 0.95257413, 0.99908895});
    expect(Activation::tanh, {-0.9993293, -0.99505475, -0.76159416, 0, 0.76159416, 0.99505475, 0.99999834});
    expect(Activation::gelu, {-1.2668497e-4, -4.0496940e-3, -0.15865525, 0, 0.84134475, 2.9959503, 7});
}

TEST_CASE("activations: a NaN stays a NaN") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (Activation activation : kAll)
        for (double y : {ops::activation(Tensor::full({1}, nan), activation).value().at(0),
                         ops::activation(Tensor::full({37}, nan), activation).value().at(0)}) {
            INFO(std::string(name_of(activation)));
            CHECK(std::isnan(y));
        }
}

TEST_CASE("activations: the gradient is written into dy when nobody else holds it") {
    const Variable x = Variable::leaf(Tensor::of<float>({3}, {-1, 2, 3}));
    Tensor dy = Tensor::full({3}, 1);
    const auto* address = dy.raw();
    backward(ops::relu(x), std::move(dy));
    CHECK(x.grad().raw() == address);
    const Tensor kept = Tensor::full({3}, 1);
    const Variable z = Variable::leaf(Tensor::of<float>({3}, {-1, 2, 3}));
    backward(ops::relu(z), kept);
    CHECK(kept.at(0) == 1);
    CHECK(z.grad().at(0) == 0);
}

TEST_CASE("activations: the graph holds the activation's name") {
    for (Activation activation : kAll) {
        const Graph graph =
            trace([&](const Variable& x) { return ops::activation(x, activation); }, Tensor::zeros({2, 3}));
        CHECK(graph.nodes[graph.output].op == name_of(activation));
    }
}
