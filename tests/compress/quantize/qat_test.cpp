#include <doctest/doctest.h>

#include "lathe/compress/quantize/fake_quantize.h"
#include "lathe/compress/quantize/prepare.h"
#include "lathe/compress/weights/prune.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/mask.h"
#include "lathe/optim/distill.h"
#include "lathe/optim/trainer.h"
#include "lathe/tests/optim/toy.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::testing;
using namespace lathe::compress;

namespace {

std::unique_ptr<nn::Model> toy_model() {
    return std::make_unique<nn::Model>("toy", nn::ModelOptions{.classes = 3, .input = {8, 8, 1}}, toy_net());
}

std::unique_ptr<nn::Model> quantized(nn::Model& model, ops::ScaleRule rule = ops::ScaleRule::lsq) {
    return prepare_quantization(model, stripes(24), {.weight_bits = 4, .activation_bits = 4, .rule = rule}).model;
}

optim::FitOptions options(const std::string& out = {}, bool resume = false) {
    return {.epochs = 3, .batch = 16, .schedule = optim::cosine(), .ema = 0.9, .out = out, .resume = resume};
}

optim::Trainer trainer_of(nn::Module& net) {
    return {net, optim::sgd({.lr = 0.02, .momentum = 0.9, .weight_decay = 1e-3, .decay_biases = false})};
}

void fit(nn::Module& net, const optim::FitOptions& o) { trainer_of(net).fit(stripes(48), stripes(30, 2), o); }

}  // namespace

TEST_CASE("a quantized network trains with the ordinary trainer: scales learn, also with PACT, and it gets better") {
    const auto model = toy_model();
    fit(*model, options());
    for (const auto rule : {ops::ScaleRule::lsq, ops::ScaleRule::pact}) {
        const auto net = quantized(*model, rule);
        const double untouched = optim::evaluate(*model, stripes(48)).loss;
        std::map<std::string, Tensor> before;
        for (const auto& [name, parameter] : net->named_parameters()) before[name] = parameter->value().clone();
        const double loss = optim::evaluate(*net, stripes(48)).loss;
        fit(*net, options());
        CHECK(optim::evaluate(*net, stripes(48)).loss < loss);
        CHECK(optim::evaluate(*model, stripes(48)).loss == untouched);
        int scales = 0;
        for (const auto& [name, parameter] : net->named_parameters()) {
            if (!name.ends_with("scale")) continue;
            ++scales;
            CHECK(parameter->value().at(0) > 0);
            if (rule == ops::ScaleRule::lsq) CHECK_FALSE(same_bits(parameter->value(), before[name]));
        }
        CHECK(scales == 5);  // of two weights, the input, the convolution, the output
    }
}

TEST_CASE("quantization-aware training is the same to the bit: recomputed, stopped and resumed, from a file") {
    const TemporaryFolder folder;
    const auto model = toy_model();
    const auto whole = quantized(*model);
    nn::save(*whole, folder / "quantized.safetensors");
    fit(*whole, options());

    const auto recomputed = nn::load(folder / "quantized.safetensors");
    optim::FitOptions recomputing = options();
    recomputing.recompute_activations = true;
    fit(*recomputed, recomputing);
    CHECK(same_bits(*recomputed, *whole));

    const auto stopped = nn::load(folder / "quantized.safetensors");
    optim::Trainer trainer = trainer_of(*stopped);
    int64_t steps = 0;
    optim::FitOptions partly = options(folder / "run");
    partly.on_batch = [&](const optim::BatchReport& report) {
        if (!report.validating && ++steps == 5) trainer.request_stop();
    };
    CHECK(trainer.fit(stripes(48), stripes(30, 2), partly).end == optim::History::End::stopped);
    const auto resumed = nn::load(folder / "run/last.safetensors");
    fit(*resumed, options(folder / "run", true));
    CHECK(same_bits(*resumed, *whole));
}

TEST_CASE("quantization-aware training with a teacher, with gradients added up, with masks: zeros stay zeros") {
    const auto model = toy_model();
    fit(*model, options());
    prune_magnitude(*model, {.sparsity = 0.5});
    const auto net = quantized(*model);
    optim::FitOptions o = options();
    o.loss = optim::distill(*model, {.weight = 0.5, .temperature = 2});
    o.step = optim::accumulated(2);
    fit(*net, o);
    for (const auto& [name, parameter] : net->named_parameters()) {
        const auto* mask = parameter->find_transform<nn::Mask>();
        if (!mask) continue;
        CHECK(mask->sparsity() == doctest::Approx(0.5).epsilon(0.05));
        const Lowered lowered = parameter->lowered();
        for (int64_t i = 0; i < lowered.integers.numel(); ++i)
            if (mask->mask().at(i) == 0) CHECK(lowered.integers.at(i) == 0);
    }
    // Fixed scales: what does not learn stays.
    const auto fixed = quantized(*model);
    CHECK(fixed->freeze("*.edge_scale") == 3);
    const Tensor before = fixed->named_parameters("input.edge_scale")[0].second->value().clone();
    fit(*fixed, options());
    CHECK(same_bits(fixed->named_parameters("input.edge_scale")[0].second->value(), before));
}

TEST_CASE("the README's way: calibrate on a sample of the training images, train on") {
    const auto owner = toy_model();
    nn::Model& model = *owner;
    const data::Dataset train = stripes(48), test = stripes(30, 2);
    auto [quantized, report] = compress::prepare_quantization(model, train.sample(512), {.weight_bits = 4});
    optim::Trainer trainer(*quantized, optim::sgd({.lr = 0.001, .momentum = 0.9}));
    CHECK(trainer.fit(train, test, {.epochs = 1}).epochs.size() == 1);
    CHECK(report.images == 48);
}
