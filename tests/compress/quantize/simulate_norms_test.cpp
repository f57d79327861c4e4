#include "lathe/compress/quantize/simulate_norms.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lathe/compress/integer/lower.h"
#include "lathe/compress/quantize/activations.h"
#include "lathe/compress/quantize/equalize.h"
#include "lathe/compress/quantize/fake_quantize.h"
#include "lathe/compress/quantize/fold_norms.h"
#include "lathe/compress/quantize/folded_norm.h"
#include "lathe/compress/quantize/freeze_norms.h"
#include "lathe/compress/quantize/prepare.h"
#include "lathe/compress/weights/prune.h"
#include "lathe/core/ops/mul.h"
#include "lathe/core/ops/sum.h"
#include "lathe/core/tape/recompute.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/mask.h"
#include "lathe/optim/distill.h"
#include "lathe/tests/compress/quantize/images.h"
#include "lathe/tests/optim/toy.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::testing;
using namespace lathe::compress;

namespace {

double snr(const Tensor& signal, const Tensor& noisy) {
    return decibels(mean_square(signal), mean_square_difference(signal, noisy));
}

// The network folded, nothing quantized, and simulated again.
std::unique_ptr<nn::GraphModule> simulated(nn::Model& model, const Graph& folded, const ChannelFactors& factors = {}) {
    return simulate_norms(*with_masks(folded, model), model, model.example(), factors);
}

std::unique_ptr<nn::Model> toy_model() {
    return std::make_unique<nn::Model>("toy", nn::ModelOptions{.classes = 3, .input = {8, 8, 1}}, toy_net());
}

std::unique_ptr<nn::Model> prepared(nn::Model& model, const data::Dataset& images, QuantizeOptions options = {}) {
    options.norms = Norms::simulated;
    return prepare_quantization(model, images, options).model;
}

void check_same(const IntegerProgram& a, const IntegerProgram& b) {
    const Graph &left = a.net().graph, &right = b.net().graph;
    REQUIRE(left.size() == right.size());
    for (int i = 0; i < left.size(); ++i) {
        INFO(left[i].path, " (", left[i].op, ")");
        CHECK(left[i].op == right[i].op);
        CHECK(left[i].attributes == right[i].attributes);
        CHECK(left[i].inputs == right[i].inputs);
        REQUIRE(bool(left[i].value) == bool(right[i].value));
        if (left[i].value) CHECK(same_bits(left[i].value, right[i].value));
    }
}

}  // namespace

TEST_CASE("simulated norms: random networks compute and train as with their norms, equalised or not") {
    int equalized = 0, norms = 0;
    for (uint64_t seed = 0; seed < 30; ++seed) {
        INFO("seed ", seed);
        const auto model = random_model(seed);
        Graph folded = fold_norms(*model, model->example());
        ChannelFactors factors;
        if (seed % 2) {
            const EqualizeReport report = equalize(folded);
            factors = report.scaled;
            equalized += !report.pairs.empty();
        }
        const auto net = simulated(*model, folded, factors);
        const Tensor x = model->example(3);
        CHECK(snr(output(*model, x), output(*net, x)) > 100);

        model->train();
        net->train();
        const Variable expected = (*model)(x), y = (*net)(x);
        CHECK(snr(expected.value(), y.value()) > 80);
        backward(y, Tensor::full(y.shape(), 1));
        const auto buffers = nn::by_name(model->named_buffers());
        for (const auto& [name, parameter] : net->named_parameters())
            if (parameter->find_transform<FoldedNorm>()) ++norms;
        for (const auto& [name, buffer] : net->named_buffers()) {
            if (!name.ends_with("running_var")) continue;
            INFO(name);
            CHECK(snr(*buffers.at(name), *buffer) > 60);
        }
    }
    CHECK(equalized >= 5);
    CHECK(norms >= 60);
}

TEST_CASE("simulated norms: gradients are those of the layer and the norm, by differences") {
    const auto model = toy_model();
    seed(3);
    for (const auto& [name, parameter] : model->named_parameters("bn"))
        parameter->set_value(random_tensor(parameter->shape(), 7));
    const auto net = simulated(*model, fold_norms(*model, model->example()));
    net->convert(DType::f64);
    const Tensor x = model->example(4).to(DType::f64), dy = random_tensor({4, 3}, 5).to(DType::f64);
    const auto loss = [&] {
        const NoGrad no_grad;
        seed(11);  // of dropout
        const Tensor y = (*net)(x).value();
        double sum = 0;
        for (int64_t i = 0; i < y.numel(); ++i) sum += y.at(i) * dy.at(i);
        return sum;
    };
    for (const bool training : {true, false}) {
        net->train(training);
        net->zero_grad();
        seed(11);
        backward((*net)(x), dy.clone());
        for (const auto& [name, parameter] : net->named_parameters()) {
            const Tensor gradient = parameter->grad().clone();
            for (int64_t i = 0; i < std::min<int64_t>(12, gradient.numel()); ++i) {
                INFO(name, " ", i, " training ", training);
                double* value = parameter->mutable_value().mutable_data<double>() + i;
                const double before = *value, step = 1e-7;
                *value = before + step;
                (void)parameter->mutable_value().mutable_data<double>();
                const double above = loss();
                *value = before - step;
                (void)parameter->mutable_value().mutable_data<double>();
                const double below = loss();
                *value = before;
                CHECK(gradient.at(i) == doctest::Approx((above - below) / (2 * step)).epsilon(1e-4));
            }
            (void)parameter->mutable_value().mutable_data<double>();
        }
    }
}

TEST_CASE("simulated norms: frozen they are what evaluation, the folded network and integers compute") {
    const TemporaryFolder folder;
    const data::Dataset images = random_examples(64, {8, 8, 3}, 5);
    int lowered = 0;
    for (uint64_t seed = 0; seed < 20; ++seed) {
        INFO("seed ", seed);
        const auto owner = random_model(seed);
        const QuantizeOptions options{.weight_bits = seed % 2 ? 4 : 8, .per_channel = seed % 3 != 0,
                                      .equalize = seed % 5 == 0};
        const auto model = prepared(*owner, images, options);
        const Tensor x = images.batch({0, 1, 2, 3, 4, 5, 6, 7}).input();
        const Tensor y = output(*model, x);
        CHECK(snr(output(*prepare_quantization(*owner, images, options).model, x), y) > 30);  // ties fall otherwise
        const auto folded = fold_simulated_norms(*model);
        for (const auto& [name, parameter] : folded->named_parameters())
            CHECK_FALSE(parameter->find_transform<FoldedNorm>());
        CHECK(snr(output(*folded, x), y) > 30);

        nn::save(*model, folder / "net.safetensors", nn::Weights::encoded);
        CHECK(same(output(*nn::load(folder / "net.safetensors"), x), y));

        FreezeNorms(*model, 0).before_step({.step = 0});
        model->train();
        std::map<std::string, Tensor> before;
        for (const auto& [name, buffer] : model->named_buffers()) before[name] = buffer->clone();
        const Variable trained = (*model)(x);
        CHECK(same(trained.value(), y));
        backward(trained, Tensor::full(y.shape(), 1));
        for (const auto& [name, buffer] : model->named_buffers()) CHECK(same_bits(*buffer, before.at(name)));

        try {
            const IntegerProgram program = lower_to_integer(*model);
            check_same(program, lower_to_integer(*folded));
            ++lowered;
        } catch (const Error& error) {
            CHECK(message_of([&] { lower_to_integer(*folded); }) == error.what());  // nothing integers can do
        }
    }
    CHECK(lowered >= 10);
}

TEST_CASE("a piece of a network with simulated norms can be recomputed by itself, wherever that begins") {
    const TemporaryFolder folder;
    const auto owner = toy_model();
    const data::Dataset train = stripes(48);
    nn::save(*prepared(*owner, train), folder / "net.safetensors");
    const Tensor x = train.batch({0, 1, 2, 3, 4, 5, 6, 7}).input();
    const auto trained = [&](bool by_pieces) {
        auto model = nn::load(folder / "net.safetensors");
        seed(1);  // of its dropout
        Variable y = x;
        if (!by_pieces) y = (*model)(y);
        const std::vector<nn::Module*> pieces = model->net().pieces();
        CHECK(pieces.size() >= 3);
        for (size_t i = 0; by_pieces && i < pieces.size(); ++i)
            y = recompute([piece = pieces[i]](const Variable& from) { return (*piece)(from); }, y);
        backward(ops::sum(ops::mul(y, y)));
        return model;
    };
    const auto whole = trained(false), parts = trained(true);
    const auto expected = whole->named_parameters(), found = parts->named_parameters();
    for (size_t i = 0; i < expected.size(); ++i) {
        INFO(expected[i].first);
        if (expected[i].second->trainable()) CHECK(same_bits(expected[i].second->grad(), found[i].second->grad()));
    }
    CHECK(same_bits(*whole, *parts));
}

TEST_CASE("simulated norms train to the same bits: stopped and resumed, recomputed; frozen from a step on") {
    const TemporaryFolder folder;
    const auto owner = toy_model();
    const auto trainer_of = [](nn::Module& net) {
        return std::make_unique<optim::Trainer>(net, optim::sgd({.lr = 0.02, .momentum = 0.9, .weight_decay = 1e-3}));
    };
    const data::Dataset train = stripes(48), validation = stripes(30, 2);
    trainer_of(*owner)->fit(train, validation, {.epochs = 1, .batch = 16});
    nn::save(*prepared(*owner, train, {.weight_bits = 4}), folder / "net.safetensors");

    const auto fit = [&](nn::Module& net, optim::FitOptions o, optim::Trainer* trainer = nullptr) {
        FreezeNorms freeze(net, 2);
        o.epochs = 3, o.batch = 16, o.ema = 0.9, o.hooks = {&freeze};
        return (trainer ? trainer : trainer_of(net).get())->fit(train, validation, o);
    };
    const auto whole = nn::load(folder / "net.safetensors"), recomputed = nn::load(folder / "net.safetensors");
    std::vector<std::pair<int64_t, Tensor>> seen;  // running variance behind each step
    fit(*whole, {.on_batch = [&](const optim::BatchReport& report) {
            if (!report.validating) seen.emplace_back(report.epoch, whole->state().at("bn.running_var").clone());
        }});
    REQUIRE(seen.size() == 9);
    CHECK_FALSE(same_bits(seen[0].second, seen[1].second));
    CHECK_FALSE(same_bits(seen[4].second, seen[5].second));
    for (size_t step = 6; step < 9; ++step) CHECK(same_bits(seen[step].second, seen[5].second));

    fit(*recomputed, {.recompute_activations = true});
    CHECK(same_bits(*recomputed, *whole));
    for (const int64_t at : {2, 5, 7}) {
        INFO("stopped after step ", at);
        const auto stopped = nn::load(folder / "net.safetensors");
        const auto trainer = trainer_of(*stopped);
        int64_t steps = 0;
        const auto stop = [&](const optim::BatchReport& report) {
            if (!report.validating && ++steps == at) trainer->request_stop();
        };
        CHECK(fit(*stopped, {.out = folder / "run", .on_batch = stop}, trainer.get()).end ==
              optim::History::End::stopped);
        const auto resumed = nn::load(folder / "run/last.safetensors");
        fit(*resumed, {.out = folder / "run", .resume = true});
        CHECK(same_bits(*resumed, *whole));
    }
}

TEST_CASE("simulated norms with masks, a teacher and gradients added up: zeros are zeros, and the loss falls") {
    const auto owner = toy_model();
    const data::Dataset train = stripes(48), validation = stripes(30, 2);
    optim::Trainer(*owner, optim::sgd({.lr = 0.02, .momentum = 0.9}))
        .fit(train, validation, {.epochs = 3, .batch = 16});
    prune_magnitude(*owner, {.sparsity = 0.5});
    const auto model = prepared(*owner, train, {.weight_bits = 4});
    const double before = optim::evaluate(*model, train).loss;
    FreezeNorms freeze(*model, 2);
    optim::Trainer(*model, optim::sgd({.lr = 0.005, .momentum = 0.9}))
        .fit(train, validation, {.epochs = 4, .batch = 16, .loss = optim::distill(*owner, {.weight = 0.5}),
                                 .step = optim::accumulated(2), .hooks = {&freeze}});
    CHECK(optim::evaluate(*model, train).loss < before);
    const auto folded = fold_simulated_norms(*model);
    check_same(lower_to_integer(*model), lower_to_integer(*folded));
    for (nn::Model* each : {model.get(), folded.get()}) {
        nn::Parameter& weight = *each->named_parameters("conv.weight")[0].second;
        const auto* mask = weight.find_transform<nn::Mask>();
        REQUIRE(mask);
        CHECK(mask->sparsity() == doctest::Approx(0.5).epsilon(0.1));
        for (int64_t i = 0; i < weight.value().numel(); ++i)
            if (mask->mask().at(i) == 0) CHECK(weight.lowered().integers.at(i) == 0);
    }
}

TEST_CASE("simulated norms: a channel of weight 0 stays finite; what is refused") {
    const auto owner = toy_model();
    owner->named_parameters("bn.weight")[0].second->mutable_value().mutable_data<float>()[1] = 0;
    const data::Dataset train = stripes(48);
    const auto model = prepared(*owner, train);
    optim::Trainer(*model, optim::sgd({.lr = 0.02})).fit(train, stripes(30, 2), {.epochs = 1, .batch = 16});
    for (const auto& [name, parameter] : model->named_parameters())
        for (int64_t i = 0; i < parameter->value().numel(); ++i) CHECK(std::isfinite(parameter->value().at(i)));
    CHECK_NOTHROW(lower_to_integer(*model));

    CHECK(message_of([&] { FoldedNorm({"bn9.weight", "bn.running_var"}, 1e-5).bind(*model); }) ==
          "folded_norm: the network has no 'bn9.weight'");
    CHECK(message_of([&] { (void)FoldedNorm({"bn.weight", "bn.running_var"}, 1e-5).version(); }) ==
          "folded_norm: expected to be bound to a network before it is used");
    CHECK(message_of([&] { FreezeNorms freeze(*owner); }) == "freeze_norms: expected simulated norms, got none");
    CHECK(message_of([&] { FreezeNorms freeze(*model, -1); }) ==
          "freeze_norms: expected 0 epochs or more, got -1");
}
