#include <doctest/doctest.h>

#include "lathe/core/graph/op_table.h"
#include "lathe/core/graph/trace.h"
#include "lathe/tests/support/op_cases.h"

// The exercise of core/README.md, stop 1, solved: an op of a user's own.
using namespace lathe;
using namespace lathe::testing;

namespace {

// y = x^2, element by element.
Variable square(const Variable& x) {
    Tensor y(x.shape(), x.dtype());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        const T* from = x.value().data<T>();
        T* to = y.mutable_data<T>();
        for (int64_t i = 0; i < y.numel(); ++i) to[i] = from[i] * from[i];
    });
    auto backward = [x = Saved(x)](Tensor dy) {  // dx = 2 x dy
        Tensor dx(dy.shape(), dy.dtype());
        with_float(dx, [&](auto zero) {
            using T = decltype(zero);
            const T *at = x->data<T>(), *from = dy.data<T>();
            T* to = dx.mutable_data<T>();
            for (int64_t i = 0; i < dx.numel(); ++i) to[i] = 2 * at[i] * from[i];
        });
        return Gradients{dx};
    };
    return record("square", {&x}, std::move(y), std::move(backward));
}

OpInfo square_row() {
    return {.name = "square",
            .run = [](const Attributes&, Inputs x, Mode) { return square(x[0]); },
            .shape = [](const Attributes&, Shapes x) { return x[0]; },
            .traits = {.elementwise = true, .per_channel = true, .keeps_zero = true, .any_layout = true},
            .channels = ChannelRule::elementwise};
}

// From here on the tests of all ops check this one, too: its gradient, its row, what its traits promise.
const bool registered = (register_op(square_row()), register_cases({
    {"square", "any shape", {{3, 5}}, [](const auto& in) { return square(in[0]); }},
}));

}  // namespace

TEST_CASE("square, written from the chapter: values, gradient, gradcheck, and its node in a graph") {
    const Variable x = Variable::leaf(Tensor::of<float>({3}, {3, 0, -4}));
    const Variable y = square(x);
    backward(y, Tensor::of<float>({3}, {1, 1, 10}));
    const float values[] = {9, 0, 16}, gradients[] = {6, 0, -80};
    for (int64_t i = 0; i < 3; ++i) {
        CHECK(y.value().at(i) == values[i]);
        CHECK(x.grad().at(i) == gradients[i]);
    }
    Random random(1);
    CHECK(gradcheck([](const auto& in) { return square(in[0]); }, {normal({4, 7}, random)}));

    const Graph graph = trace([](const Variable& in) { return square(in); }, x.value());
    CHECK(graph.str() == "%0 = input() [3]  \n%1 = square(%0) [3]  \n");
    CHECK_NOTHROW(graph.check());
    CHECK(run_op("square", {}, std::vector<Variable>{Tensor::full({1}, 5)}).value().item() == 25);
}
