#include "lathe/optim/step.h"

#include <doctest/doctest.h>

#include "lathe/core/ops/mul.h"
#include "lathe/core/ops/scale.h"
#include "lathe/core/ops/sub.h"
#include "lathe/optim/trainer.h"
#include "lathe/tests/data/test_files.h"
#include "lathe/tests/optim/toy.h"

using namespace lathe;
using namespace lathe::testing;
using namespace lathe::optim;

namespace {

// y = w x of a single number.
struct Line : nn::Module {
    nn::Parameter w{Tensor::of<float>({1, 1}, {1})};
    Line() { parameter("w", w); }
    Variable forward(const Variable& x) override { return ops::scale(w.effective(), x.value().at(0)); }
};

data::Dataset points() {
    return {{.name = "points"},
            {.inputs = {Tensor::of<float>({1, 1}, {3})}, .targets = {Tensor::of<float>({1, 1}, {2})}}};
}

std::unique_ptr<nn::Sequential> linear() {
    seed(1);
    auto net = std::make_unique<nn::Sequential>();
    net->add<nn::Flatten>("flatten");
    net->add<nn::Linear>("fc", {.in = 64, .out = 3});
    return net;
}

}  // namespace

TEST_CASE("step: several forwards add their gradients before the one update") {
    Line line;
    // As a supernet would: the whole network, then half of it as a smaller subnet; both losses count.
    const Step two = [](const Forward& forward, const Loss& loss, const data::Batch& batch) {
        const Variable whole = forward(batch), half = ops::scale(forward(batch), 0.5);
        const Variable first = loss(whole, batch), second = loss(half, batch);
        backward(first);
        backward(second);
        return StepResult{first.value().item() + second.value().item(), whole.value()};
    };
    const History history = Trainer(line, sgd({.lr = 0.01, .momentum = 0}))
                                .fit(points(), points(), {.epochs = 1, .batch = 1, .task = regression(), .step = two});
    // d/dw (3w - 2)^2 + (1.5w - 2)^2 at w = 1: 2 * 3 * 1 + 2 * 1.5 * -0.5 = 4.5.
    CHECK(line.w.value().at(0) == doctest::Approx(1 - 0.045));
    CHECK(history.epochs[0].train.loss == doctest::Approx(1 + 0.25));
    CHECK(history.epochs[0].train["mae"] == doctest::Approx(1));
}

TEST_CASE("step: accumulated over parts, the gradients of the whole batch") {
    const data::Dataset images = stripes(50);
    const auto train = [&](const Step& step) {
        auto net = linear();
        const History history =
            Trainer(*net, sgd({.lr = 0.01})).fit(images, stripes(30, 2), {.epochs = 2, .batch = 16, .step = step});
        return std::pair(std::move(net), history);
    };
    const auto [whole, expected] = train(plain_step());
    for (int64_t parts : {1, 3, 100}) {  // the last batch has two images
        const auto [net, history] = train(accumulated(parts));
        for (size_t i = 0; i < 2; ++i) {
            const Tensor& a = net->named_parameters()[i].second->value();
            const Tensor& b = whole->named_parameters()[i].second->value();
            for (int64_t j = 0; j < a.numel(); ++j) CHECK(a.at(j) == doctest::Approx(b.at(j)).epsilon(1e-4));
        }
        CHECK(history.epochs[1].train.loss == doctest::Approx(expected.epochs[1].train.loss).epsilon(1e-5));
        CHECK(history.epochs[1].train["accuracy"] == expected.epochs[1].train["accuracy"]);
        if (parts == 1) CHECK(same_bits(*net, *whole));
    }
    CHECK(contains(error_of([] { accumulated(0); }), "expected at least 1 part, got 0"));
}

TEST_CASE("step: a network with several inputs gets all of a batch's") {
    struct Difference : nn::Module {
        nn::Parameter w{Tensor::of<float>({1}, {0})};
        Difference() { parameter("w", w); }
        Variable forward_all(const std::vector<Variable>& x) override {
            return ops::mul(w.effective(), ops::sub(x.at(0), x.at(1)));
        }
    } net;
    const data::Dataset pairs({.name = "pairs"},
                              {.inputs = {Tensor::of<float>({2, 1}, {3, 4}), Tensor::of<float>({2, 1}, {1, 3})},
                               .targets = {Tensor::of<float>({2, 1}, {6, 3})}});
    Trainer(net, sgd({.lr = 0.1, .momentum = 0})).fit(pairs, pairs, {.epochs = 100, .batch = 2, .task = regression()});
    CHECK(net.w.value().at(0) == doctest::Approx(3));
}

TEST_CASE("step: one of its own recomputes activations, too") {
    const Step twice = [](const Forward& forward, const Loss& loss, const data::Batch& batch) {
        StepResult result;
        for (int i = 0; i < 2; ++i) result = plain_step()(forward, loss, batch);
        return result;
    };
    const auto train = [&](bool recompute) {
        auto net = toy_net();
        Trainer(*net, sgd({.lr = 0.01}))
            .fit(stripes(32), stripes(30, 2),
                 {.epochs = 1, .batch = 16, .step = twice, .recompute_activations = recompute});
        return net;
    };
    CHECK(same_bits(*train(false), *train(true)));
}
