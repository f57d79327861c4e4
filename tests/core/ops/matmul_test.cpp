#include "lathe/core/ops/matmul.h"

#include <doctest/doctest.h>

#include "lathe/core/ops/permute.h"
#include "lathe/tests/support/op_cases.h"
#include "lathe/tests/support/recorded.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

Variable product(const std::vector<Variable>& in) { return ops::matmul(in[0], in[1]); }
Variable recorded_product(const RecordedInputs& in) { return ops::matmul(in["a"], in["b"]); }

const bool registered = register_cases({
    {"matmul", "two matrices", {{3, 5}, {5, 2}}, product},
    {"matmul", "batch by one matrix", {{2, 1, 3, 5}, {5, 4}}, product},
    {"matmul", "batch by batch", {{3, 2, 5}, {3, 5, 1}}, product},
    {"matmul", "both batches repeat", {{2, 1, 3, 5}, {4, 5, 2}}, product},
    {"permute", "four axes", {{2, 3, 1, 4}}, [](const auto& in) { return ops::permute(in[0], {2, 0, 3, 1}); }},
});

const bool recorded = register_recorded({
    {"matmul.matrices", recorded_product},
    {"matmul.batch_by_matrix", recorded_product},
    {"matmul.broadcast", recorded_product},
    {"permute", [](const auto& in) { return ops::permute(in["x"], {0, 3, 1, -2}); }},
});

}  // namespace

TEST_CASE("matmul and permute name what does not fit") {
    CHECK_THROWS_WITH_AS(ops::matmul(Tensor::zeros({2, 3}), Tensor::zeros({4, 2})),
                         "matmul: expected [.., m, k] and [.., k, n], got [2, 3] and [4, 2]", Error);
    CHECK_THROWS_AS(ops::matmul(Tensor::zeros({3}), Tensor::zeros({3, 2})), Error);
    CHECK_THROWS_AS(ops::matmul(Tensor::zeros({2, 1, 3}), Tensor::zeros({4, 3, 2})), Error);
    CHECK_THROWS_AS(ops::permute(Tensor::zeros({2, 3}), {0, 0}), Error);
    CHECK_THROWS_AS(ops::permute(Tensor::zeros({2, 3}), {0}), Error);
    CHECK_THROWS_AS(ops::permute(Tensor::zeros({2, 3}), {0, 2}), Error);
}

TEST_CASE("a product over no columns is zero") {
    const Tensor y = ops::matmul(Tensor::zeros({2, 0}), Tensor::zeros({0, 3})).value();
    CHECK(y.shape() == Shape{2, 3});
    for (int i = 0; i < 6; ++i) CHECK(y.at(i) == 0);
}
