#include <doctest/doctest.h>

#include <cmath>

#include "lathe/core/parallel.h"
#include "lathe/optim/trainer.h"
#include "lathe/optim/update.h"
#include "lathe/tests/optim/toy.h"

// The exercise of optim/README.md solved: an optimizer of a user's own.
using namespace lathe;
using namespace lathe::testing;

namespace {

// Lion (Chen et al. 2023, "Symbolic discovery of optimization algorithms", arXiv 2302.06675):
// w -= lr (sign(beta1 m + (1 - beta1) g) + weight_decay w), then m = beta2 m + (1 - beta2) g.
class Lion : public optim::Optimizer {
public:
    explicit Lion(double lr, double decay = 0) : Optimizer(lr), decay_(decay) {}
    std::string name() const override { return "lion"; }
    std::string describe() const override { return concatenated("lion: lr ", lr); }

private:
    std::vector<std::string> slot_names() const override { return {"exp_avg"}; }

    void update(nn::Parameter& parameter, double lr) override {
        with_float(parameter.value(), [&](auto zero) {
            using T = decltype(zero);
            const T rate = static_cast<T>(lr), decay = static_cast<T>(decay_);
            T* w = parameter.mutable_value().template mutable_data<T>();
            const T* g = parameter.grad().template data<T>();
            T* m = optim::slot<T>(parameter, "exp_avg");
            for (int64_t i = 0; i < parameter.value().numel(); ++i) {
                const T toward = T(0.9) * m[i] + T(0.1) * g[i];
                w[i] -= rate * (static_cast<T>((toward > 0) - (toward < 0)) + decay * w[i]);
                m[i] = T(0.99) * m[i] + T(0.01) * g[i];
            }
        });
    }

    double decay_;
};

struct OneWeight : nn::Module {
    nn::Parameter weight{Tensor::of<double>({3}, {1, 1, 1})};
    OneWeight() { parameter("weight", weight); }
    Variable forward(const Variable& x) override { return x; }
};

}  // namespace

TEST_CASE("lion, written from the chapter: steps of one size, by sign; what it remembers lives with the weight") {
    OneWeight net;
    Lion lion(0.5);
    for (const auto& gradient : {Tensor::of<double>({3}, {7, -0.1, 0}), Tensor::of<double>({3}, {-0.1, -0.1, 3})}) {
        net.weight.set_grad(gradient);
        lion.step(net);
    }
    const double expected[] = {0, 2, 0.5};  // the first still goes down: 0.9 * 0.07 outweighs 0.1 * 0.1
    for (int64_t i = 0; i < 3; ++i) CHECK(net.weight.value().at(i) == expected[i]);
    CHECK(net.weight.slots().at("exp_avg").at(0) == doctest::Approx(0.99 * 0.07 - 0.001));
    CHECK(net.weight.updates() == 2);
}

TEST_CASE("lion trains a network as the built-in optimizers do") {
    const auto net = toy_net();
    optim::Trainer trainer(*net, std::make_unique<Lion>(0.003));
    const optim::History history = trainer.fit(stripes(192), stripes(96, 2), {.epochs = 4, .batch = 32});
    CHECK(history.epochs.back().validation["accuracy"] > 90);
}
