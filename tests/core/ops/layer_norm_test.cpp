#include <doctest/doctest.h>

#include "lathe/core/graph/trace.h"
#include "lathe/core/ops/layer_norm.h"
#include "lathe/tests/support/op_cases.h"
#include "lathe/tests/support/recorded.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

Variable layer_norm(const std::vector<Variable>& in) {
    return ops::layer_norm(in[0], in.size() > 1 ? in[1] : Variable(), in.size() > 2 ? in[2] : Variable(), 1e-3);
}

const bool registered = register_cases({
    {"layer_norm", "image", {{2, 3, 1, 7}, {7}, {7}}, layer_norm},
    {"layer_norm", "one row, no bias", {{1, 17}, {17}}, layer_norm},
    {"layer_norm", "no weight", {{5, 4}}, layer_norm},
});

const bool recorded = register_recorded({
    {"layer_norm", [](const auto& in) { return ops::layer_norm(in["x"], in["weight"], in["bias"]); }},
    {"layer_norm.no_weight", [](const auto& in) { return ops::layer_norm(in["x"], {}, {}, 0.1); }},
});

}  // namespace

TEST_CASE("layer_norm: known values") {
    const Variable x = Tensor::of<float>({2, 4}, {1, 2, 3, 6, 1001, 1002, 1003, 1006});  // mean 3, variance 3.5
    const Variable weight = Tensor::of<float>({4}, {1, 1, 2, 2}), bias = Tensor::of<float>({4}, {0, 1, 0, 1});
    const Tensor y = ops::layer_norm(x, weight, bias, 0.5).value();
    const double expected[] = {-1, 0.5, 0, 4};
    for (int i = 0; i < 8; ++i) CHECK(y.at(i) == doctest::Approx(expected[i % 4]));
}

TEST_CASE("layer_norm: bad arguments and attributes") {
    CHECK_THROWS_WITH_AS(ops::layer_norm(Tensor::zeros({2, 3}), Tensor::zeros({2})),
                         "layer_norm: expected weight [3], got [2]", Error);
    CHECK_THROWS_WITH_AS(ops::layer_norm(Tensor::zeros({2, 3}), {}, Tensor::zeros({2})),
                         "layer_norm: expected bias [3], got [2]", Error);
    CHECK_THROWS_AS(ops::layer_norm(Tensor::zeros({})), Error);
    const Graph graph =
        trace([](const Variable& x) { return ops::layer_norm(x, {}, {}, 0.25); }, Tensor::zeros({2, 3}));
    CHECK(graph.nodes[graph.output].attributes.str() == "eps=0.25");
}
