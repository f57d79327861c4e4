#include "lathe/optim/optimizer.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lathe/core/random.h"
#include "lathe/core/files/safetensors.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/optim/toy.h"
#include "lathe/tests/support/recorded.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

struct Weights : nn::Module {
    nn::Parameter weight, bias;
    Weights(Tensor w, Tensor b) : weight(std::move(w)), bias(std::move(b)) {
        parameter("weight", weight);
        parameter("bias", bias);
    }
    Variable forward(const Variable& x) override { return x; }
};

const TensorFile& recorded() {
    static const TensorFile file = read_safetensors("tests/fixtures/optimizers.safetensors");
    return file;
}

// Takes the ten recorded steps and compares every one.
void compare(const std::string& name, std::unique_ptr<optim::Optimizer> optimizer,
             const std::function<void(nn::Module&)>& clip = [](nn::Module&) {}) {
    CAPTURE(name);
    const auto& tensors = recorded().tensors;
    Weights net(tensors.at("weight").clone(), tensors.at("bias").clone());
    for (int64_t step = 0; step < 10; ++step) {
        CAPTURE(step);
        for (const auto& [key, parameter] : net.named_parameters())
            parameter->set_grad(tensors.at("gradient." + key).rows(step, 1).reshape(parameter->shape()).clone());
        clip(net);
        optimizer->step(net);
        for (const auto& [key, parameter] : net.named_parameters()) {
            const Tensor expected = tensors.at(name + "/" + key).rows(step, 1).reshape(parameter->shape());
            CHECK(relative_difference(parameter->value(), expected) <= 1e-6);
        }
    }
}

}  // namespace

TEST_CASE("optimizers take PyTorch's steps") {
    compare("sgd", optim::sgd({.lr = 0.1, .momentum = 0, .weight_decay = 0.01}));
    compare("momentum", optim::sgd({.lr = 0.1, .momentum = 0.9}));
    compare("momentum-decay", optim::sgd({.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01}));
    compare("nesterov", optim::sgd({.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true}));
    compare("decay-weights", optim::sgd({.lr = 0.1, .momentum = 0.9, .weight_decay = 0.01, .decay_biases = false}));
    compare("adam", optim::adam({.lr = 0.01}));
    compare("adam-decay", optim::adam({.lr = 0.01, .beta1 = 0.8, .beta2 = 0.99, .epsilon = 1e-6, .weight_decay = 0.1}));
    compare("adamw", optim::adamw({.lr = 0.01, .weight_decay = 0.1}));
    compare("adamw-weights", optim::adamw({.lr = 0.01, .weight_decay = 0.1, .decay_biases = false}));
}

TEST_CASE("gradients are clipped as PyTorch clips them") {
    compare("clip-norm", optim::sgd({.lr = 0.1, .momentum = 0}),
            [](nn::Module& net) { optim::clip_gradient_norm(net, 3.0); });
    compare("clip-value", optim::sgd({.lr = 0.1, .momentum = 0}),
            [](nn::Module& net) { optim::clip_gradient_value(net, 0.5); });
}

TEST_CASE("clipping leaves other holders of a gradient alone, and short gradients as they are") {
    Weights net(Tensor::zeros({2}), Tensor::zeros({2}));
    const Tensor shared = Tensor::of<float>({2}, {3, 4});
    net.weight.set_grad(shared);
    net.bias.set_grad(shared);
    CHECK(optim::gradient_norm(net) == doctest::Approx(std::sqrt(50.0)));
    CHECK(optim::clip_gradient_norm(net, 8) == doctest::Approx(std::sqrt(50.0)));
    CHECK(same_bits(net.weight.grad(), shared));
    optim::clip_gradient_norm(net, 1);
    CHECK(optim::gradient_norm(net) == doctest::Approx(1).epsilon(1e-5));
    CHECK(shared.at(1) == 4);
}

TEST_CASE("updates and norms have the same bits for any number of threads") {
    auto train = [](int count) {
        const ThreadScope scope(count);
        Weights net(random_tensor({300, 331}, 1), random_tensor({300}, 2));
        auto optimizer = optim::adamw({.lr = 0.01});
        for (uint64_t step = 0; step < 3; ++step) {
            net.weight.set_grad(random_tensor({300, 331}, 10 + step));
            net.bias.set_grad(random_tensor({300}, 20 + step));
            optim::clip_gradient_norm(net, 1);
            optimizer->step(net);
        }
        return net.weight.value();
    };
    CHECK(same_bits(train(1), train(2)));
    CHECK(same_bits(train(1), train(3)));
}

TEST_CASE("frozen parameters and those without a gradient stay") {
    Weights net(Tensor::full({4}, 1), Tensor::full({2}, 1));
    net.freeze("weight");
    auto optimizer = optim::sgd({.lr = 1, .momentum = 0.5, .weight_decay = 0.5});
    net.weight.set_grad(Tensor::full({4}, 1));
    optimizer->step(net);
    CHECK(net.weight.value().at(0) == 1);
    CHECK(net.weight.slots().empty());
    CHECK(net.bias.value().at(0) == 1);
}

TEST_CASE("state moves with the weight and gives way to another optimizer's") {
    Weights net(random_tensor({4, 3}, 1), random_tensor({4}, 2));
    auto adam = optim::adam();
    net.weight.set_grad(random_tensor({4, 3}, 5));
    adam->step(net);
    net.weight.select_(0, {3, 1});
    CHECK(net.weight.slots().at("exp_avg").shape() == Shape{2, 3});
    CHECK(net.weight.updates() == 1);

    auto sgd = optim::sgd({.lr = 0, .momentum = 0.9});
    net.weight.set_grad(Tensor::full({2, 3}, 2));
    sgd->step(net);
    CHECK(net.weight.slots().size() == 1);
    CHECK(net.weight.slots().at("momentum").at(0) == 2);
    CHECK(net.weight.updates() == 1);
}

TEST_CASE("options out of range are refused") {
    CHECK_THROWS_AS(optim::sgd({.lr = -1}), Error);
    CHECK_THROWS_AS(optim::sgd({.momentum = 1}), Error);
    CHECK_THROWS_AS(optim::sgd({.momentum = 0, .nesterov = true}), Error);
    CHECK_THROWS_AS(optim::adam({.beta2 = 1}), Error);
    CHECK_THROWS_AS(optim::adam({.epsilon = 0}), Error);
    CHECK_THROWS_AS(optim::adamw({.weight_decay = -1}), Error);
}
