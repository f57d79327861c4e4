#include "lathe/core/ops/embedding.h"

#include <doctest/doctest.h>

#include <cstring>

#include "lathe/core/parallel.h"
#include "lathe/tests/support/op_cases.h"
#include "lathe/tests/support/recorded.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

const Tensor kIndices = Tensor::of<int32_t>({2, 3}, {4, 0, 4, 4, 2, 1});

const bool registered = register_cases({
    {"embedding", "repeated rows", {{6, 5}}, [](const auto& in) { return ops::embedding(kIndices, in[0]); }},
});

const bool recorded = register_recorded({
    {"embedding", [](const auto& in) { return ops::embedding(in.tensor("indices"), in["weight"]); }},
});

}  // namespace

TEST_CASE("embedding names an index out of range") {
    CHECK_THROWS_WITH_AS(ops::embedding(kIndices, Tensor::zeros({4, 3})),
                         "embedding: index 0 is 4, expected one of 4 rows from 0", Error);
    CHECK_THROWS_AS(ops::embedding(Tensor::of<int32_t>({1}, {-1}), Tensor::zeros({4, 3})), Error);
    CHECK_THROWS_AS(ops::embedding(Tensor::zeros({2}), Tensor::zeros({4, 3})), Error);
}

TEST_CASE("the gradient of an embedding has the same bits for one and two threads") {
    Random random(4);
    const Tensor dy = normal({500, 200}, random).to(DType::f32);
    Tensor indices({500}, DType::i32);
    for (int i = 0; i < 500; ++i) indices.mutable_data<int32_t>()[i] = static_cast<int32_t>(random.below(7));
    Tensor gradient[2];
    const int before = threads();
    for (int count : {1, 2}) {
        set_threads(count);
        const Variable weight = Variable::leaf(Tensor::zeros({7, 200}));
        backward(ops::embedding(indices, weight), dy);
        gradient[count - 1] = weight.grad();
    }
    set_threads(before);
    CHECK(std::memcmp(gradient[0].raw(), gradient[1].raw(), gradient[0].bytes()) == 0);
}
