#include <doctest/doctest.h>

#include <cstring>

#include "lathe/core/ops/mul.h"
#include "lathe/core/ops/scale.h"
#include "lathe/core/ops/sub.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/support/op_cases.h"
#include "lathe/tests/support/recorded.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

Variable product(const std::vector<Variable>& in) { return ops::mul(in[0], in[1]); }
Variable difference(const std::vector<Variable>& in) { return ops::sub(in[0], in[1]); }

const bool registered = register_cases({
    {"mul", "same shape", {{3, 1, 5}, {3, 1, 5}}, product},
    {"mul", "by channel", {{2, 3, 3, 5}, {5}}, product},
    {"mul", "squeeze and excite", {{2, 3, 3, 5}, {2, 1, 1, 5}}, product},
    {"mul", "both repeat", {{3, 1, 5}, {2, 1, 4, 1}}, product},
    {"mul", "constant mask", {{3, 4}}, [](const auto& in) {
         return ops::mul(in[0], Tensor::of<double>({3, 4}, {1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1, 0}));
     }},
    {"sub", "same shape", {{3, 5}, {3, 5}}, difference},
    {"sub", "broadcast", {{5}, {3, 1}}, difference},
    {"scale", "any shape", {{3, 5}}, [](const auto& in) { return ops::scale(in[0], -2.5); }},
});

Variable recorded_product(const RecordedInputs& in) { return ops::mul(in["a"], in["b"]); }

const bool recorded = register_recorded({
    {"mul.same", recorded_product},
    {"mul.squeeze_excite", recorded_product},
    {"mul.both_repeat", recorded_product},
    {"sub.broadcast", [](const auto& in) { return ops::sub(in["a"], in["b"]); }},
    {"scale", [](const auto& in) { return ops::scale(in["x"], -2.5); }},
});

}  // namespace

TEST_CASE("a product with itself has twice the value as gradient") {
    const Variable x = Variable::leaf(Tensor::of<float>({2}, {3, -4}));
    backward(ops::mul(x, x), Tensor::full({2}, 1));
    CHECK(x.grad().at(0) == 6);
    CHECK(x.grad().at(1) == -8);
}

TEST_CASE("mul of long arrays gives the same bits for one and two threads, forward and backward") {
    std::vector<Tensor> results[2];
    for (int count : {1, 2}) {
        set_threads(count);
        Random random(3);
        const Variable a = Variable::leaf(normal({9, 31, 29, 17}, random).to(DType::f32));
        const Variable b = Variable::leaf(normal({9, 1, 1, 17}, random).to(DType::f32));
        const Variable y = ops::mul(a, b);
        backward(y, a.value());
        results[count - 1] = {y.value(), a.grad(), b.grad()};
    }
    for (int i = 0; i < 3; ++i)
        CHECK(std::memcmp(results[0][i].raw(), results[1][i].raw(), results[0][i].bytes()) == 0);
}
