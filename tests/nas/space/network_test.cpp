#include "lathe/nas/space/network.h"

#include <doctest/doctest.h>

#include "lathe/core/graph/cost.h"
#include "lathe/nas/predict/efficiency.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/resnet20.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::nas;
using lathe::testing::message_of;
using lathe::testing::random_tensor;

TEST_CASE("a subnet is an ordinary model: it trains, is saved with its arch, and computes the same when loaded") {
    seed(1);
    const auto model = network(mcunetv2(), mcunetv2().smallest());
    CHECK(model->input_shape() == Shape{96, 96, 3});
    CHECK(model->classes() == 2);
    CHECK(arch_of(*model) == mcunetv2().smallest().str());
    const Variable y = (*model)(random_tensor({2, 96, 96, 3}));
    backward(y, Tensor::full(y.shape(), 1));
    for (const auto& [name, parameter] : model->named_parameters()) {
        CAPTURE(name);
        CHECK(parameter->grad().shape() == parameter->shape());
    }
    model->eval();
    const auto again = nn::from_file(nn::to_file(*model), "again");
    again->eval();
    const Tensor x = random_tensor({1, 96, 96, 3});
    CHECK(testing::same((*model)(x).value(), (*again)(x).value()));
    CHECK(arch_of(*again) == arch_of(*model));
    CHECK(network(mcunetv2(), mcunetv2().smallest(), 10)->classes() == 10);
}

TEST_CASE("only a design space takes an arch") {
    CHECK(message_of([] { nn::models::resnet20({.arch = "{}"}); })
              .starts_with("resnet20: expected no arch (it is one network"));
}
