#include "lathe/compress/weights/prune.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lathe/core/ops/cross_entropy.h"
#include "lathe/nn/mask.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/optim/toy.h"

using namespace lathe;
using namespace lathe::compress;
using namespace lathe::testing;

namespace {

nn::Parameter& parameter(nn::Module& module, const std::string& name) {
    return *module.named_parameters(name).front().second;
}

Tensor effective(nn::Module& module, const std::string& name) {
    const NoGrad no_grad;
    return parameter(module, name).effective().value();
}

int64_t zeros(const Tensor& x) {
    int64_t count = 0;
    for (int64_t i = 0; i < x.numel(); ++i) count += x.at(i) == 0;
    return count;
}

double sparsity(nn::Module& module, const std::string& name) {
    const Tensor w = effective(module, name);
    return static_cast<double>(zeros(w)) / static_cast<double>(w.numel());
}

// 8 and 8 channels, so that patterns of four fit.
std::unique_ptr<nn::Sequential> two_convs() {
    seed(5);
    auto net = std::make_unique<nn::Sequential>();
    net->add<nn::Conv2d>("conv1", {.in = 1, .out = 8, .kernel = 3, .padding = 1});
    net->add<nn::Conv2d>("conv2", {.in = 8, .out = 8, .kernel = 3, .padding = 1});
    net->add<nn::Flatten>("flatten");
    net->add<nn::Linear>("fc", {.in = 8 * 64, .out = 3, .pixels = 64});
    return net;
}

}  // namespace

TEST_CASE("prune: masks every parameter of two dimensions or more, each at the sparsity asked for") {
    auto net = toy_net();
    const WeightReport report = prune_magnitude(*net, {.sparsity = 0.75});
    REQUIRE(report.layers.size() == 2);
    CHECK(report.layers[0].name == "conv.weight");
    CHECK(report.layers[0].zeros == 27);
    CHECK(report.layers[1].zeros == 576);
    CHECK(report.total().weights == 36 + 768);
    CHECK(zeros(effective(*net, "conv.weight")) == 27);
    CHECK(parameter(*net, "bn.weight").transforms().empty());
    CHECK(report.str().find("conv.weight       36     9    75.00%") != std::string::npos);

    // The smallest go.
    const Tensor mask = parameter(*net, "conv.weight").find_transform<nn::Mask>()->mask();
    const Tensor dense = parameter(*net, "conv.weight").value();
    double kept = 1e9, gone = 0;
    for (int64_t i = 0; i < mask.numel(); ++i) {
        if (mask.at(i)) kept = std::min(kept, std::abs(dense.at(i)));
        else gone = std::max(gone, std::abs(dense.at(i)));
    }
    CHECK(kept > gone);
}

TEST_CASE("prune: sparsities by layer, the last pattern wins, some are skipped") {
    auto net = two_convs();
    prune_magnitude(*net, {.sparsity = 0.25, .layers = {{"conv*", 0.5}, {"conv2", 0.75}}, .skip = {"fc"}});
    CHECK(sparsity(*net, "conv1.weight") == 0.5);
    CHECK(sparsity(*net, "conv2.weight") == 0.75);
    CHECK(sparsity(*net, "fc.weight") == 0);
    CHECK(parameter(*net, "fc.weight").transforms().empty());

    auto other = two_convs();
    prune_magnitude(*other, {.sparsity = 0.5, .only = {"fc", "conv1.bias"}});
    CHECK(sparsity(*other, "conv1.bias") == 0.5);
    CHECK(sparsity(*other, "fc.weight") == 0.5);
    CHECK(parameter(*other, "conv1.weight").transforms().empty());
}

TEST_CASE("prune: globally, one threshold for all layers but those with a sparsity of their own") {
    auto net = two_convs();
    parameter(*net, "conv1.weight").mutable_value().fill_(10);
    const WeightReport report = prune_magnitude(*net, {.sparsity = 0.5, .layers = {{"fc", 0.25}}, .global = true});
    CHECK(report.layers[0].zeros == 0);
    CHECK(report.layers[1].zeros == 324);  // half of conv1 and conv2 together
    CHECK(report.layers[2].zeros == 384);
}

TEST_CASE("prune: patterns along input and output channels") {
    auto net = two_convs();
    prune_weights(*net, {.pattern = parse_pattern("2:4"), .skip = {"conv1"}});
    const Tensor w = effective(*net, "conv2.weight");
    for (int64_t i = 0; i < w.numel(); i += 4) {
        int64_t kept = 0;
        for (int64_t j = 0; j < 4; ++j) kept += w.at(i + j) != 0;
        CHECK(kept == 2);
    }
    auto blocks = two_convs();
    prune_weights(*blocks, {.sparsity = 0.5, .pattern = parse_pattern("4x1")});
    const Tensor mask = parameter(*blocks, "conv2.weight").find_transform<nn::Mask>()->mask();
    for (int64_t i = 0; i < 4 * 72; ++i)
        CHECK(mask.at(i % 72) == mask.at(i));  // the first four output channels are alike
}

TEST_CASE("prune: a pruned model is pruned on from its masks") {
    auto net = toy_net();
    prune_magnitude(*net, {.sparsity = 0.5});
    const Tensor first = parameter(*net, "fc.weight").find_transform<nn::Mask>()->mask();
    // The masked weights would be worth the most, were they not masked.
    Tensor dense = parameter(*net, "fc.weight").mutable_value();
    for (int64_t i = 0; i < dense.numel(); ++i)
        if (!first.at(i)) dense.mutable_data<float>()[i] = 100;
    const WeightReport report = prune_magnitude(*net, {.sparsity = 0.75});
    CHECK(report.layers[1].zeros_before == 384);
    CHECK(report.layers[1].zeros == 576);
    const Tensor second = parameter(*net, "fc.weight").find_transform<nn::Mask>()->mask();
    for (int64_t i = 0; i < first.numel(); ++i) CHECK(second.at(i) <= first.at(i));
    // A lower sparsity revives nothing.
    CHECK(prune_magnitude(*net, {.sparsity = 0.1}).layers[1].zeros == 576);
    CHECK(prune_magnitude(*net, {.sparsity = 0.1, .ties = Ties::prune_all}).layers[1].zeros == 576);
}

TEST_CASE("prune: regrowth lets the masks of one pruner open again, never those from before") {
    auto net = toy_net();
    WeightPruner first(*net, {.sparsity = 0.25});
    first.prune();
    const Tensor before = parameter(*net, "fc.weight").find_transform<nn::Mask>()->mask();
    WeightPruner pruner(*net, {.sparsity = 0.5});
    pruner.prune();
    Tensor dense = parameter(*net, "fc.weight").mutable_value();
    dense.fill_(0);
    float* w = dense.mutable_data<float>();
    for (int64_t i = 0; i < dense.numel(); ++i)
        w[i] = static_cast<float>(dense.numel() - i);  // the first are the greatest now
    pruner.prune([](double, double final) { return final; }, true);
    const Tensor after = parameter(*net, "fc.weight").find_transform<nn::Mask>()->mask();
    int64_t kept = 0, wrong = 0;  // half of all, the first that were not masked before
    for (int64_t i = 0; i < dense.numel(); ++i) {
        kept += before.at(i) != 0;
        wrong += after.at(i) != (kept <= dense.numel() / 2 ? before.at(i) : 0);
    }
    CHECK(wrong == 0);
}

TEST_CASE("importance: Taylor's is the mean of |g w|, movement's the sum of -g w") {
    auto net = toy_net();
    const data::Dataset images = stripes(40);
    const NamedParameters parameters = net->named_parameters("fc.weight");
    const auto score = [&](WeightImportance kind) {
        return weight_importance(*net, parameters, {.kind = kind, .data = &images, .images = 40}).front();
    };
    const Tensor taylor = score(WeightImportance::taylor), movement = score(WeightImportance::movement);
    net->eval();
    std::vector<int64_t> all = data::permutation(40, Random(0));
    const data::Batch batch = images.batch(all);
    backward(ops::cross_entropy((*net)(batch.input()), batch.target()));
    const nn::Parameter& fc = *parameters.front().second;
    for (int64_t i = 0; i < 768; i += 37) {
        const double product = fc.grad().at(i) * fc.value().at(i);
        CHECK(taylor.at(i) == doctest::Approx(std::abs(product)).epsilon(1e-4));
        CHECK(movement.at(i) == doctest::Approx(-product).epsilon(1e-4));
    }
    CHECK(message_of([&] { weight_importance(*net, parameters, {.kind = WeightImportance::taylor}); }) ==
          "importance taylor: expected images to take gradients from, got none");
}

TEST_CASE("importance: random follows from the seed alone") {
    auto a = toy_net(1), b = toy_net(2), c = toy_net(3);
    for (auto [net, seed] : {std::pair{&a, 7}, std::pair{&b, 7}, std::pair{&c, 8}})
        prune_weights(**net, {.sparsity = 0.5,
                              .importance = {.kind = WeightImportance::random, .seed = static_cast<uint64_t>(seed)}});
    const auto mask = [](auto& net) {
        return parameter(*net, "fc.weight").template find_transform<nn::Mask>()->mask();
    };
    CHECK(same(mask(a), mask(b)));
    CHECK_FALSE(same(mask(a), mask(c)));
    CHECK(weight_importance_of("movement") == WeightImportance::movement);
    CHECK(message_of([] { weight_importance_of("magnitud"); }).ends_with("did you mean 'magnitude'?"));
}

TEST_CASE("prune: of equal weights as many go as were asked for, or by the lab's rule all, which is said") {
    const auto pruned = [](const WeightPruneOptions& options) {
        auto net = toy_net();
        for (const auto& [name, parameter] : net->named_parameters()) parameter->mutable_value().fill_(0.5);
        return prune_magnitude(*net, options);
    };
    const WeightReport exact = pruned({.sparsity = 0.3});
    for (const auto& layer : exact.layers) CHECK(layer.zeros == zeros_of(layer.weights, 0.3));
    CHECK(exact.notes() == "");
    const WeightReport together = pruned({.sparsity = 0.3, .global = true});
    CHECK(together.total().zeros == zeros_of(together.total().weights, 0.3));
    CHECK(together.notes() == "no weight is left of conv.weight\n");  // the first 36 of 804
    const WeightReport all = pruned({.sparsity = 0.3, .ties = Ties::prune_all});
    CHECK(all.total().zeros == all.total().weights);
    CHECK(all.str().ends_with("\nno weight is left of conv.weight, fc.weight\n"));
}

TEST_CASE("prune: 2:4 passes over the layers that it does not fit, and names them") {
    auto net = two_convs();
    const WeightReport report = prune_weights(*net, {.pattern = parse_pattern("2:4")});
    CHECK(report.passed_over == std::vector<std::string>{"conv1.weight"});
    CHECK(report.str().ends_with("\npassed over, since 4 does not divide their input channels: conv1.weight\n"));
    CHECK(parameter(*net, "conv1.weight").transforms().empty());
    for (const auto& layer : report.layers) CHECK(2 * layer.zeros == layer.weights);
}

TEST_CASE("prune: bad options are one clear line") {
    auto net = two_convs();
    const auto error = [&](const WeightPruneOptions& options) {
        return message_of([&] { prune_weights(*net, options); });
    };
    CHECK(error({.sparsity = 1}) == "prune: expected a sparsity in [0, 1), got 1");
    CHECK(error({.sparsity = -0.1}) == "prune: expected a sparsity in [0, 1), got -0.1");
    CHECK(error({.sparsity = std::nan("")}) == "prune: expected a sparsity in [0, 1), got nan");
    CHECK(error({.layers = {{"fc", 1.5}}}) == "prune: expected a sparsity in [0, 1) for 'fc', got 1.5");
    CHECK(error({.layers = {{"conv3", 0.5}}}) == "no parameter matches 'conv3'; did you mean 'conv1'?");
    CHECK(error({.sparsity = 0.5, .skip = {"fcc"}}) == "no parameter matches 'fcc'; did you mean 'fc'?");
    CHECK(error({.pattern = parse_pattern("2:4"), .only = {"conv1.weight"}}) ==
          "prune: 2:4 fits no layer: expected input channels that 4 divides");
    CHECK(error({.sparsity = 0.5, .pattern = parse_pattern("2:4")})
              .starts_with("prune: the pattern 2:4 brings its sparsity along"));
    CHECK(error({.sparsity = 0.5, .skip = {"*"}}) == "prune: expected parameters of two dimensions or more, got none");
    CHECK(parameter(*net, "fc.weight").transforms().empty());
}
