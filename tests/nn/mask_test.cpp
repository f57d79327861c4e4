#include "lathe/nn/mask.h"

#include <doctest/doctest.h>

#include "lathe/nn/module.h"
#include "lathe/optim/optimizer.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::nn;
using namespace lathe::testing;

namespace {

struct OneWeight : Module {
    Parameter w{Tensor::full({2}, 1)};
    OneWeight() { parameter("w", w); }
    Variable forward(const Variable& x) override { return x; }

    // Steps with a gradient of `g` on what is not masked.
    void train(optim::Optimizer& optimizer, int steps, float g) {
        for (int i = 0; i < steps; ++i) {
            zero_grad();
            backward(w.effective(), Tensor::full({2}, g));
            optimizer.step(*this);
        }
    }
};

}  // namespace

TEST_CASE("a masked weight's dense value stays where the cut found it") {
    OneWeight net;
    const auto sgd = optim::sgd({.lr = 0.1, .momentum = 0.9});
    net.train(*sgd, 3, 1);
    CHECK(net.w.value().at(0) == doctest::Approx(0.439));  // 1 - 0.1 (1 + 1.9 + 2.71)
    set_mask(net.w, Tensor::of<uint8_t>({2}, {0, 1}));
    CHECK(net.w.slots().at("momentum").at(0) == 0);
    CHECK(net.w.slots().at("momentum").at(1) == doctest::Approx(2.71));
    net.train(*sgd, 20, 0);
    CHECK(net.w.value().at(0) == doctest::Approx(0.439));
    CHECK(net.w.value().at(1) == doctest::Approx(-1.703).epsilon(1e-3));  // not masked, it coasts
    // Opened again it goes on from there, without what it remembered.
    set_mask(net.w, Tensor::of<uint8_t>({2}, {1, 1}));
    net.train(*sgd, 1, 1);
    CHECK(net.w.value().at(0) == doctest::Approx(0.339));
}

TEST_CASE("a masked weight's dense value decays") {
    OneWeight net;
    const auto adamw = optim::adamw({.lr = 0.1, .weight_decay = 0.5});
    net.train(*adamw, 3, 1);
    const double before = net.w.value().at(0);
    net.w.slots()["kept_score"] = Tensor::full({2}, 5);
    set_mask(net.w, Tensor::of<uint8_t>({2}, {0, 1}));
    net.train(*adamw, 2, 1);
    CHECK(net.w.value().at(0) == doctest::Approx(before * 0.95 * 0.95));
    CHECK(net.w.slots().at("kept_score").at(0) == 5);  // not the optimizer's
    CHECK(message_of([&] { set_mask(net.w, Tensor::full({3}, 1, DType::u8)); }) == "mask: expected shape [2], got [3]");
    CHECK(message_of([&] { set_mask(net.w, Tensor::of<uint8_t>({2}, {1, 255})); }) ==
          "mask: expected 0 and 1 only, got 1 other elements");
}
