#include "lathe/nn/snapshot.h"

#include <doctest/doctest.h>

#include "lathe/nn/mask.h"
#include "lathe/optim/optimizer.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/nn/test_transforms.h"
#include "lathe/tests/optim/toy.h"

using namespace lathe;
using namespace lathe::nn;
using namespace lathe::testing;

namespace {

Parameter& weight_of(Module& net, const std::string& name) { return *net.named_parameters(name).front().second; }

void step(Module& net) {
    const Variable y = net(random_tensor({4, 8, 8, 1}));
    backward(y, random_tensor(y.shape(), 3));
    optim::sgd({.lr = 0.1, .momentum = 0.9})->step(net);
}

std::map<std::string, Tensor> copy_of(const std::map<std::string, Tensor>& state) {
    std::map<std::string, Tensor> copy;
    for (const auto& [name, tensor] : state) copy[name] = tensor.clone();
    return copy;
}

bool same_states(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const auto& x, const auto& y) { return x.first == y.first && same_bits(x.second, y.second); });
}

}  // namespace

TEST_CASE("snapshot: values, gradients, slots, buffers, masks and what transforms learn come back") {
    register_test_transforms();
    auto net = toy_net();
    Parameter& conv = weight_of(*net, "conv.weight");
    Parameter& fc = weight_of(*net, "fc.weight");
    set_mask(fc, random_mask(fc.shape()));
    fc.add_transform(std::make_unique<LearnedStep>(4, fc.value()));
    net->freeze("bn");
    step(*net);
    const auto before = copy_of(net->state());
    const Tensor momentum = conv.slots().at("momentum").clone(), grad = conv.grad().clone();
    const Tensor of_step = weight_of(*net, "fc.weight.step").slots().at("momentum").clone();
    const Snapshot snapshot(*net);

    step(*net);
    fc.remove_transform("learned_step");               // gone, to be made again
    fc.find_transform<Mask>()->set_mask(random_mask(fc.shape(), 9));
    set_mask(conv, random_mask(conv.shape()));         // new, to go
    conv.select_(0, {0, 1});                           // smaller
    net->freeze("bn", false);
    CHECK(!same_states(net->state(), before));
    for (int time : {1, 2}) {  // a snapshot keeps its own copy
        CAPTURE(time);
        snapshot.restore(*net);
        CHECK(same_states(net->state(), before));
        CHECK(conv.transforms().empty());
        CHECK(same_bits(conv.slots().at("momentum"), momentum));
        CHECK(same_bits(conv.grad(), grad));
        CHECK(conv.updates() == 1);
        CHECK(same_bits(weight_of(*net, "fc.weight.step").slots().at("momentum"), of_step));
        CHECK(!weight_of(*net, "bn.weight").trainable());
        step(*net);
    }
}

TEST_CASE("snapshot: values without transforms, on another network of the same names") {
    auto early = toy_net(7), net = toy_net();
    const auto before = early->state();
    Parameter& fc = weight_of(*net, "fc.weight");
    const Tensor mask = random_mask(fc.shape());
    set_mask(fc, mask);
    net->freeze("conv");
    step(*net);
    Snapshot(*early).restore(*net, {.transforms = false, .training = false});
    CHECK(same(fc.find_transform<Mask>()->mask(), mask));
    CHECK(fc.slots().empty());
    CHECK(!weight_of(*net, "conv.weight").trainable());
    for (const auto& [name, tensor] : before) CHECK(same_bits(net->state().at(name), tensor));
    const auto after = copy_of(net->state());
    CHECK(message_of([&] { Snapshot(*toy_net(1, 8)).restore(*net, {.transforms = false}); }) ==
          "expected 'conv.weight' of shape [4, 3, 3, 1], got [8, 3, 3, 1]");
    CHECK(same_states(net->state(), after));  // nothing was begun
}
