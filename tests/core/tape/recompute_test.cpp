#include "lathe/core/tape/recompute.h"

#include <doctest/doctest.h>

#include "lathe/core/graph/trace.h"
#include "lathe/core/memory.h"
#include "lathe/core/ops/activation.h"
#include "lathe/core/ops/add.h"
#include "lathe/core/ops/dropout.h"
#include "lathe/core/ops/linear.h"
#include "lathe/core/ops/mul.h"
#include "lathe/core/ops/sum.h"
#include "lathe/tests/support/op_cases.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

const bool registered = register_cases({
    {"recompute",
     "of x and another leaf",
     {{3, 5}, {4, 5}},
     [](const auto& in) {
         return recompute([w = in[1]](const Variable& x) { return ops::sigmoid(ops::linear(ops::mul(x, x), w)); },
                          in[0]);
     }},
    {"recompute",
     "inside another",
     {{3, 5}},
     [](const auto& in) {
         return recompute(
             [](const Variable& x) {
                 const Variable inner =
                     recompute([](const Variable& z) { return ops::tanh(ops::mul(z, z)); }, ops::sigmoid(x));
                 return ops::mul(inner, x);
             },
             in[0]);
     }},
    {"recompute",
     "with dropout",
     {{7, 9}},
     [](const auto& in) {
         seed(3);
         return recompute([](const Variable& x) { return ops::mul(ops::dropout(x, 0.4, true), x); }, in[0]);
     }},
});

Variable ten_squares(const Variable& x) {
    Variable y = x;
    for (int i = 0; i < 10; ++i) y = ops::mul(y, y);
    return y;
}

}  // namespace

TEST_CASE("recompute computes the value and the gradient once each, from a random generator set back") {
    const Variable x = Variable::leaf(Tensor::full({64}, 1.5));
    int runs = 0, again = 0;
    seed(4);
    const Variable y = recompute([&](const Variable& in) {
        ++runs, again += recomputing();
        return ops::dropout(in, 0.5, true);
    }, x);
    const uint64_t position = global_random().position();
    CHECK(position > 0);
    CHECK(runs == 1);
    global_random().seek(100);
    backward(ops::sum(y));
    CHECK(global_random().position() == 100);
    CHECK(runs == 2);
    CHECK(again == 1);
    CHECK_FALSE(recomputing());
    for (int i = 0; i < 64; ++i) CHECK(x.grad().at(i) == (y.value().at(i) == 0 ? 0 : 2));
}

TEST_CASE("recompute keeps only its input") {
    const Variable x = Variable::leaf(Tensor::full({1 << 16}, 1));
    const auto kept_by = [&](auto&& run) {
        const size_t before = memory::stats().in_use;
        const Variable y = run();
        return static_cast<double>(memory::stats().in_use - before) / static_cast<double>(x.value().bytes());
    };
    const double plain = kept_by([&] { return ten_squares(x); }),
                 one = kept_by([&] { return recompute(ten_squares, x); });
    if (memory::stats().in_use == 0) return;  // the sanitizers' build does not count
    CHECK(plain == doctest::Approx(10).epsilon(0.01));
    CHECK(one == doctest::Approx(1).epsilon(0.01));
}

TEST_CASE("recompute of what wants no gradient is a constant, and without recording just the call") {
    const Variable constant(Tensor::full({3}, 2));
    CHECK_FALSE(recompute(ten_squares, constant).requires_grad());
    const Variable leaf = Variable::leaf(Tensor::full({3}, 2));
    CHECK(recompute([&](const Variable& x) { return ops::mul(x, leaf); }, constant).requires_grad());
    {
        const NoGrad no_grad;
        CHECK_FALSE(recompute(ten_squares, leaf).requires_grad());
    }
    const Graph graph = trace([](const Variable& x) { return recompute(ten_squares, x); }, Tensor::full({3}, 2));
    CHECK(graph.nodes.size() == 11);
    CHECK(graph.nodes[1].op == "mul");
}

TEST_CASE("recompute refuses a function that uses a variable of the tape outside") {
    const Variable x = Variable::leaf(Tensor::full({3}, 2)), other = ops::mul(x, x);
    const Variable y = recompute([&](const Variable& in) { return ops::add(in, other); }, x);
    CHECK_THROWS_WITH_AS(backward(ops::sum(y)),
                         "recompute: expected a function of its argument and of leaves, got one that uses "
                         "another variable, made by mul",
                         Error);
}

TEST_CASE("recompute notices that its input was changed in place") {
    Variable x = Variable::leaf(Tensor::full({3}, 2));
    const Variable y = recompute(ten_squares, x);
    x.value().fill_(1);
    CHECK_THROWS_AS(backward(ops::sum(y)), Error);
}
