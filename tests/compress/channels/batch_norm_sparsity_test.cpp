#include "lathe/compress/channels/batch_norm_sparsity.h"

#include <doctest/doctest.h>

#include "lathe/core/ops/cross_entropy.h"
#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::compress;
using namespace lathe::testing;

TEST_CASE("the loss grows by the scales' magnitudes, their gradients by their signs") {
    nn::Sequential net;
    auto& norm = net.add<nn::BatchNorm>("norm", {.channels = 3});
    norm.weight.set_value(Tensor::of<float>({3}, {2, -1, 0}));
    const data::Batch batch{{random_tensor({4, 3})}, {Tensor::of<int32_t>({4}, {0, 1, 2, 0})}};
    const Variable plain = ops::cross_entropy(net(batch.input()), batch.target());
    backward(plain);
    const Tensor gradient = norm.weight.grad().clone();
    net.zero_grad();
    const Variable sparse = with_batch_norm_sparsity(net, 0.5)(net(batch.input()), batch);
    CHECK(sparse.value().item() == doctest::Approx(plain.value().item() + 1.5));
    backward(sparse);
    CHECK(norm.weight.grad().at(0) == doctest::Approx(gradient.at(0) + 0.5));
    CHECK(norm.weight.grad().at(1) == doctest::Approx(gradient.at(1) - 0.5));
    CHECK(norm.weight.grad().at(2) == doctest::Approx(gradient.at(2)));
}

TEST_CASE("a network without batch norms has nothing to make sparse") {
    nn::Linear linear({.in = 2, .out = 2});
    CHECK(message_of([&] { with_batch_norm_sparsity(linear, 1e-4); }) ==
          "batch norm sparsity: expected a network with batch norms, got none");
    CHECK(message_of([&] { with_batch_norm_sparsity(linear, -1); }) ==
          "batch norm sparsity: expected a strength of 0 or more, got -1");
}
