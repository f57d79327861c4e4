#include "lathe/core/tape/variable.h"

#include <doctest/doctest.h>

#include <functional>
#include <thread>

#include "lathe/core/ops/add.h"
#include "lathe/core/ops/mul.h"
#include "lathe/core/ops/reshape.h"
#include "lathe/core/ops/scale.h"
#include "lathe/core/ops/sum.h"

using namespace lathe;

namespace {

Tensor values(const std::vector<float>& v) { return Tensor::of<float>({static_cast<int64_t>(v.size())}, v); }

std::vector<double> elements(const Tensor& x) {
    std::vector<double> found;
    for (int64_t i = 0; i < x.numel(); ++i) found.push_back(x.at(i));
    return found;
}

// y = x with the gradients that `backward` makes up.
Variable op_with(const Variable& x, const std::function<Gradients(Tensor)>& backward) {
    return record("made_up", {&x}, x.value().clone(), [backward](Tensor dy) { return backward(std::move(dy)); });
}

}  // namespace

TEST_CASE("backward adds to a leaf's gradient until it is cleared") {
    const Tensor x = values({1, 2, 3});
    Variable w = Variable::leaf(values({4, 5, 6}));
    CHECK_FALSE(w.grad());
    for (int pass = 1; pass <= 3; ++pass) {
        backward(ops::sum(ops::mul(w, x)));
        CHECK(elements(w.grad()) == std::vector<double>{1.0 * pass, 2.0 * pass, 3.0 * pass});
    }
    w.zero_grad();
    CHECK_FALSE(w.grad());
    backward(ops::mul(w, x), values({10, 0, -1}));
    CHECK(elements(w.grad()) == std::vector<double>{10, 0, -3});
}

TEST_CASE("a shared sub-expression gets the sum of what its uses send back, and is walked once") {
    const Variable w = Variable::leaf(values({2, -3}));
    int walks = 0;
    const Variable shared = op_with(ops::mul(w, w), [&](Tensor dy) { return ++walks, Gradients{dy}; });
    const Variable once = ops::scale(shared, 5), twice = ops::mul(shared, shared);
    backward(ops::sum(ops::add(ops::add(once, twice), shared)));  // 5 w^2 + w^4 + w^2
    CHECK(elements(w.grad()) == std::vector<double>{12 * 2 + 4 * 8, 12 * -3 + 4 * -27});
    CHECK(walks == 1);
}

TEST_CASE("a part of the tape that the output does not depend on keeps its own gradients and its tape") {
    const Variable a = Variable::leaf(values({2})), b = Variable::leaf(values({3}));
    const Variable product = ops::mul(a, b), other = ops::scale(b, 10);
    backward(product);
    CHECK(b.grad().item() == 2);
    backward(other);
    CHECK(b.grad().item() == 12);
    CHECK(a.grad().item() == 3);
}

TEST_CASE("constants and frozen leaves get no gradient") {
    const Variable frozen = Variable::leaf(values({1, 2})), w = Variable::leaf(values({3, 4}));
    frozen.node()->requires_grad = false;
    const Variable constant = values({5, 6});
    CHECK_FALSE(frozen.requires_grad());
    CHECK_FALSE(ops::mul(frozen, constant).node());
    backward(ops::sum(ops::mul(ops::mul(frozen, w), constant)));
    CHECK_FALSE(frozen.grad());
    CHECK_FALSE(constant.grad());
    CHECK(elements(w.grad()) == std::vector<double>{5, 12});
}

TEST_CASE("NoGrad records nothing while it lives, nests, and concerns its thread alone") {
    const Variable w = Variable::leaf(values({2}));
    CHECK(grad_enabled());
    {
        const NoGrad outer;
        CHECK_FALSE(grad_enabled());
        {
            const NoGrad inner;
            CHECK_FALSE(ops::scale(w, 3).requires_grad());
        }
        CHECK_FALSE(grad_enabled());
        CHECK_FALSE(ops::scale(w, 3).node());
        bool elsewhere = false;
        std::thread([&] { elsewhere = grad_enabled() && ops::scale(w, 3).requires_grad(); }).join();
        CHECK(elsewhere);
    }
    CHECK(grad_enabled());
    CHECK(ops::scale(w, 3).requires_grad());
    try {
        const NoGrad unwound;
        fail("leaves the scope");
    } catch (const Error&) {
    }
    CHECK(grad_enabled());
}

TEST_CASE("a value that the gradient needs must not be changed in place") {
    Variable w = Variable::leaf(values({2, 3})), v = Variable::leaf(values({5, 7}));
    const std::string changed = "backward: a value needed for the gradient was changed in place after use";
    const Variable product = ops::sum(ops::mul(w, v));
    v.value().fill_(1);
    CHECK_THROWS_WITH_AS(backward(product), changed.c_str(), Error);
    const Variable squares = ops::sum(ops::mul(w, w));
    Tensor view = w.value().reshape({2, 1}).rows(0, 1);  // a write through any view counts
    view.mutable_data<float>()[0] = 8;
    CHECK_THROWS_WITH_AS(backward(squares), changed.c_str(), Error);

    // What the gradient does not need may change: of a w, w itself.
    Variable fresh = Variable::leaf(values({2, 3}));
    const Variable scaled = ops::sum(ops::mul(fresh, values({5, 7})));
    fresh.value().fill_(0);
    backward(scaled);
    CHECK(elements(fresh.grad()) == std::vector<double>{5, 7});

    const Saved unused(v, false);
    CHECK(unused.needs());
    CHECK_FALSE(*unused);
}

TEST_CASE("a tape is walked once") {
    const Variable w = Variable::leaf(values({2}));
    const Variable squared = ops::mul(w, w), once = ops::scale(squared, 2), later = ops::scale(squared, 3);
    backward(once);
    CHECK_THROWS_WITH_AS(backward(once), "scale backward: this part of the tape was walked before and is freed", Error);
    CHECK_THROWS_WITH_AS(backward(later), "mul backward: this part of the tape was walked before and is freed", Error);
    CHECK(w.grad().item() == 8);
}

TEST_CASE("a gradient of the wrong shape or number names the op that made it") {
    const Variable w = Variable::leaf(values({2, 3}));
    CHECK_THROWS_WITH_AS(backward(op_with(w, [](Tensor) { return Gradients{values({1, 2, 3})}; }), values({1, 1})),
                         "made_up backward: expected a gradient of shape [2], got [3]", Error);
    CHECK_THROWS_WITH_AS(backward(op_with(w, [](Tensor dy) { return Gradients{dy, dy}; }), values({1, 1})),
                         "made_up backward: expected 1 gradients, got 2", Error);
    CHECK_THROWS_WITH_AS(backward(ops::scale(w, 2), values({1})),
                         "output backward: expected a gradient of shape [2], got [1]", Error);
    CHECK_THROWS_WITH_AS(backward(ops::scale(w, 2)),
                         "backward: expected a single number, got shape [2] (pass the gradient of the output)", Error);
    CHECK_THROWS_WITH_AS(backward(Variable(values({1}))),
                         "backward: the output depends on nothing that wants a gradient", Error);
    CHECK_THROWS_WITH_AS(Variable::leaf(Tensor::zeros({2}, DType::i32)), "leaf: expected a floating type, got i32",
                         Error);
}

TEST_CASE("an op may have no gradient for an input") {
    const Variable w = Variable::leaf(values({2, 3}));
    const Variable silent = op_with(ops::scale(w, 2), [](Tensor) { return Gradients{Tensor{}}; });
    backward(ops::sum(ops::add(silent, w)));
    CHECK(elements(w.grad()) == std::vector<double>{1, 1});
}

TEST_CASE("long tapes are walked and freed without recursion") {
    const Variable w = Variable::leaf(values({1}));
    Variable y = w, unwalked = w;
    for (int i = 0; i < 100000; ++i) y = ops::scale(y, i % 2 ? 2 : 0.5), unwalked = ops::add(unwalked, unwalked);
    backward(y);
    CHECK(w.grad().item() == 1);
    const std::weak_ptr<Node> last = unwalked.node();
    unwalked = {};
    CHECK(last.expired());
    y = {};
    CHECK(w.node().use_count() == 1);
}

TEST_CASE("what backward keeps is freed as soon as it was used") {
    const Variable w = Variable::leaf(values({1, 2}));
    Variable y = ops::mul(w, values({3, 4}));
    const Tensor product = y.value();
    const Variable total = ops::sum(ops::mul(y, y));
    y = {};
    CHECK_FALSE(product.unique());
    backward(total);
    CHECK(product.unique());
}

TEST_CASE("a leaf's gradient is its own: nobody else's changes show in it") {
    const Variable a = Variable::leaf(values({1, 2})), b = Variable::leaf(values({3, 4}));
    Tensor dy = values({1, 1});
    backward(ops::add(a, b), dy);  // an addition hands the same gradient to both
    dy.fill_(9);
    CHECK(elements(a.grad()) == std::vector<double>{1, 1});
    CHECK_FALSE(a.grad().shares_storage(b.grad()));
    backward(ops::add(a, ops::reshape(a, {2})), values({1, 1}));
    CHECK(elements(a.grad()) == std::vector<double>{3, 3});
    CHECK(elements(b.grad()) == std::vector<double>{1, 1});
}
