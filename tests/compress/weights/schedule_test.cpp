#include "lathe/compress/weights/schedule.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lathe/core/files/safetensors.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/resnet8.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/optim/distill.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/optim/toy.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::compress;
using namespace lathe::testing;

namespace {

const nn::Mask& mask_of(nn::Module& net, const std::string& name) {
    return *net.named_parameters(name).front().second->find_transform<nn::Mask>();
}

nn::Model small_model() { return nn::models::resnet8({.classes = 3, .width = 0.25, .input = {8, 8, 1}}); }

data::Dataset training_set() { return stripes(48).augmented(data::random_crop(8, 1)); }

// Three steps an epoch, with everything on that could bring a masked weight back.
optim::FitOptions options(PruneHook& hook, int64_t epochs, const std::string& out = "") {
    return {.epochs = epochs,
            .batch = 16,
            .schedule = optim::cosine(),
            .seed = 3,
            .ema = 0.9,
            .hooks = {&hook},
            .out = out};
}

optim::Trainer make_trainer(nn::Module& net) {
    return {net, optim::sgd({.lr = 0.05, .momentum = 0.9, .weight_decay = 0.01})};
}

// The sparsities that a schedule brings about, update by update.
std::vector<double> updates(const PruneSchedule& schedule, double final, int64_t epochs, nn::Module& net) {
    PruneHook hook(net, {.layers = {{"fc.weight", final}}, .only = {"fc.weight"}}, schedule);
    std::vector<double> found;
    hook.on_prune = [&](const WeightReport& report) { found.push_back(report.total().sparsity()); };
    make_trainer(net).fit(training_set(), stripes(30, 2), options(hook, epochs));
    return found;
}

struct Case {
    const char* name;
    PruneSchedule schedule;
    WeightImportance importance = WeightImportance::magnitude;
    bool rewinds = false;
};
const Case kCases[] = {
    {"oneshot", {.kind = PruneSchedule::oneshot}},
    {"iterative", {.kind = PruneSchedule::iterative, .rounds = 3}},
    {"lottery ticket", {.kind = PruneSchedule::iterative, .rounds = 3}, WeightImportance::magnitude, true},
    {"gradual", {.kind = PruneSchedule::gradual, .end = 0.7, .every = 2}},
    {"gradual by movement",
     {.kind = PruneSchedule::gradual, .begin = 0.1, .end = 0.7, .every = 2},
     WeightImportance::movement},
    {"gradual by Taylor",
     {.kind = PruneSchedule::gradual, .begin = 0.1, .end = 0.7, .every = 2},
     WeightImportance::taylor},
};

PruneHook make_hook(nn::Module& net, const Case& c) {
    return {net,
            {.sparsity = 0.8, .importance = {.kind = c.importance}},
            c.schedule,
            c.rewinds ? std::optional<nn::Snapshot>(*toy_net(7)) : std::nullopt};
}

}  // namespace

TEST_CASE("prune schedule: gradual follows the cubic of Zhu and Gupta") {
    auto net = toy_net();
    // 12 steps; from step 0 to step 8, every second one.
    const std::vector<double> found =
        updates({.kind = PruneSchedule::gradual, .end = 2.0 / 3, .every = 2}, 0.75, 4, *net);
    REQUIRE(found.size() == 5);
    for (size_t i = 0; i < 5; ++i)
        CHECK(found[i] == doctest::Approx(0.75 - 0.75 * std::pow(1 - 0.25 * static_cast<double>(i), 3)).epsilon(2e-3));
}

TEST_CASE("prune schedule: iterative takes the same share of what is left each round, oneshot all at once") {
    auto net = toy_net();
    const std::vector<double> found = updates({.kind = PruneSchedule::iterative, .rounds = 3}, 0.875, 4, *net);
    REQUIRE(found.size() == 3);
    CHECK(found[0] == doctest::Approx(0.5));
    CHECK(found[1] == doctest::Approx(0.75));
    CHECK(found[2] == doctest::Approx(0.875));
    // From where the model is: 1 - 0.125 * 0.25^(k / 2).
    const std::vector<double> more = updates({.kind = PruneSchedule::iterative, .rounds = 2}, 0.96875, 2, *net);
    REQUIRE(more.size() == 2);
    CHECK(more[0] == doctest::Approx(0.9375));
    CHECK(more[1] == doctest::Approx(0.96875));

    auto other = toy_net();
    CHECK(updates({.kind = PruneSchedule::oneshot}, 0.5, 2, *other) == std::vector<double>{0.5});
}

TEST_CASE("prune schedule: stopped anywhere and resumed, the run ends with the same bits") {
    for (const Case& c : kCases) {
        CAPTURE(c.name);
        auto whole = toy_net();
        PruneHook hook = make_hook(*whole, c);
        const optim::History history = make_trainer(*whole).fit(training_set(), stripes(30, 2), options(hook, 4));
        CHECK(mask_of(*whole, "fc.weight").sparsity() == doctest::Approx(0.8).epsilon(2e-3));
        for (int64_t stop : {1, 4, 6, 8}) {
            CAPTURE(stop);
            const TemporaryFolder folder;
            {
                auto net = toy_net();
                PruneHook part = make_hook(*net, c);
                optim::Trainer trainer = make_trainer(*net);
                auto o = options(part, 4, folder.path);
                int64_t steps = 0;
                o.on_batch = [&](const optim::BatchReport& report) {
                    if (!report.validating && ++steps == stop) trainer.request_stop();
                };
                CHECK(trainer.fit(training_set(), stripes(30, 2), o).end == optim::History::End::stopped);
            }
            auto net = toy_net(99);
            PruneHook again = make_hook(*net, c);
            auto o = options(again, 4, folder.path);
            o.resume = true;
            const optim::History resumed = make_trainer(*net).fit(training_set(), stripes(30, 2), o);
            CHECK(same_bits(*net, *whole));
            CHECK(resumed.candidates == history.candidates);
            CHECK(resumed.best().epoch == history.best().epoch);
        }
    }
}

TEST_CASE("prune schedule: the best epoch is one with the final masks, also on disk") {
    const TemporaryFolder folder;
    nn::Model net = small_model();
    PruneHook hook(net, {.sparsity = 0.9}, {.kind = PruneSchedule::gradual, .end = 0.7});
    const optim::History history = make_trainer(net).fit(training_set(), stripes(30, 2), options(hook, 4, folder.path));
    CHECK(history.candidates == 2);  // step 8 of 12 is the last that prunes
    CHECK(history.best().epoch >= 3);
    const auto best = nn::load(folder / "best.safetensors");
    CHECK(mask_of(*best, "fc.weight").sparsity() == doctest::Approx(43.0 / 48));

    auto other = options(hook, 4, folder.path);
    other.resume = true;
    PruneHook different(net, {.sparsity = 0.8}, {.kind = PruneSchedule::gradual, .end = 0.7});
    other.hooks = {&different};
    CHECK(message_of([&] {
              make_trainer(net).fit(training_set(), stripes(30, 2), other);
          }).find("the run was begun with pruning gradual") != std::string::npos);
}

TEST_CASE("prune schedule: gradual lets weights come back until the masks freeze") {
    auto net = toy_net();
    std::vector<Tensor> masks;
    PruneHook hook(*net, {.sparsity = 0.5}, {.kind = PruneSchedule::gradual, .end = 0.7, .every = 1});
    hook.on_prune = [&](const WeightReport&) { masks.push_back(mask_of(*net, "fc.weight").mask()); };
    auto o = options(hook, 6);
    std::vector<Tensor> after_freezing;
    o.on_epoch = [&](const optim::EpochReport& report) {
        if (report.epoch >= 5) after_freezing.push_back(mask_of(*net, "fc.weight").mask());
    };
    optim::Trainer trainer(*net, optim::sgd({.lr = 0.5, .momentum = 0.9, .weight_decay = 0.1}));
    trainer.fit(training_set(), stripes(30, 2), o);
    int64_t regrown = 0;
    for (size_t i = 1; i < masks.size(); ++i)
        for (int64_t j = 0; j < masks[i].numel(); ++j) regrown += masks[i].at(j) > masks[i - 1].at(j);
    CHECK(regrown > 0);
    REQUIRE(after_freezing.size() == 2);
    CHECK(same(after_freezing[0], masks.back()));
    CHECK(same(after_freezing[1], masks.back()));
}

TEST_CASE("masks survive: momentum, weight decay, averaging, checkpoints and files revive no weight") {
    const TemporaryFolder folder;
    nn::Model net = small_model();
    // Momentum from before the pruning pushes every weight.
    make_trainer(net).fit(training_set(), stripes(30, 2), {.epochs = 1, .batch = 16});
    prune_magnitude(net, {.sparsity = 0.7});
    std::map<std::string, Tensor> masks;
    for (const auto& [name, parameter] : net.named_parameters())
        if (const auto* mask = parameter->find_transform<nn::Mask>()) masks[name] = mask->mask();
    const auto check_masked = [&](nn::Module& module) {
        const NoGrad no_grad;
        for (const auto& [name, mask] : masks) {
            CAPTURE(name);
            nn::Parameter& parameter = *module.named_parameters(name).front().second;
            REQUIRE(parameter.find_transform<nn::Mask>());
            CHECK(same(parameter.find_transform<nn::Mask>()->mask(), mask));
            const Tensor weight = parameter.effective().value();
            int64_t revived = 0;
            for (int64_t i = 0; i < mask.numel(); ++i) revived += mask.at(i) == 0 && weight.at(i) != 0;
            CHECK(revived == 0);
        }
    };
    optim::FitOptions o{
        .epochs = 1, .batch = 16, .ema = 0.9, .out = folder.path, .on_epoch = [&](const optim::EpochReport&) {
            check_masked(net);
        }};
    make_trainer(net).fit(training_set(), stripes(30, 2), o);
    check_masked(net);  // the averages
    o.epochs = 2;
    o.resume = true;
    nn::Model resumed = small_model();
    o.on_epoch = {};
    make_trainer(resumed).fit(training_set(), stripes(30, 2), o);
    check_masked(resumed);
    optim::Trainer(resumed, optim::adamw({.lr = 0.1, .weight_decay = 0.5}))
        .fit(training_set(), stripes(30, 2), {.epochs = 1, .batch = 16});
    check_masked(resumed);
    for (nn::Weights weights : {nn::Weights::dense, nn::Weights::encoded}) {
        nn::save(resumed, folder / "saved.safetensors", weights);
        check_masked(*nn::load(folder / "saved.safetensors"));
    }
    check_masked(*nn::load(folder / "best.safetensors"));
}

TEST_CASE("rewind: weights and statistics of before, masks of now, no momentum") {
    auto net = toy_net();
    const nn::Snapshot early(*net);
    std::map<std::string, Tensor> kept;
    for (const auto& [name, tensor] : net->state()) kept[name] = tensor.clone();
    make_trainer(*net).fit(training_set(), stripes(30, 2), {.epochs = 1, .batch = 16});
    prune_magnitude(*net, {.sparsity = 0.5});
    const Tensor mask = mask_of(*net, "fc.weight").mask();
    rewind(*net, early);
    CHECK(same(mask_of(*net, "fc.weight").mask(), mask));
    for (const auto& [name, tensor] : net->state())
        if (!name.ends_with(".mask")) CHECK(same_bits(tensor, kept.at(name)));
    for (const auto& [name, parameter] : net->named_parameters()) CHECK(parameter->slots().empty());
    nn::Sequential other;
    other.add<nn::Linear>("head", {.in = 4, .out = 3});
    CHECK(message_of([&] { rewind(other, early); }) == "rewind: 'head.weight' is missing");
    CHECK(message_of([&] { rewind(*toy_net(1, 8), early); }) ==
          "rewind: expected 'conv.weight' of shape [8, 3, 3, 1], got [4, 3, 3, 1]");
}

TEST_CASE("distill: the loss is Hinton's, and its student learns from the teacher alone") {
    auto teacher = toy_net(1), student = toy_net(2);
    make_trainer(*teacher).fit(stripes(48), stripes(30, 2), {.epochs = 10, .batch = 16});
    const data::Batch batch = stripes(8).batch({0, 1, 2, 3, 4, 5, 6, 7});
    const Tensor logits = random_tensor({8, 3});
    double expected = 0;
    {
        const NoGrad no_grad;
        teacher->eval();
        const Tensor other = (*teacher)(batch.input()).value();
        const auto softmax = [](const Tensor& x, int64_t row, double t, int64_t k) {
            double sum = 0;
            for (int64_t j = 0; j < 3; ++j) sum += std::exp(x.at(row * 3 + j) / t);
            return std::exp(x.at(row * 3 + k) / t) / sum;
        };
        for (int64_t row = 0; row < 8; ++row) {
            expected -= 0.3 * std::log(softmax(logits, row, 1, batch.target().data<int32_t>()[row])) / 8;
            for (int64_t k = 0; k < 3; ++k) {
                const double taught = softmax(other, row, 2, k);
                expected += 0.7 * 4 * taught * std::log(taught / softmax(logits, row, 2, k)) / 8;
            }
        }
        teacher->train();
    }
    CHECK(optim::distill(*teacher, {.weight = 0.7, .temperature = 2})(logits, batch).value().item() ==
          doctest::Approx(expected).epsilon(1e-5));
    CHECK(teacher->training());

    make_trainer(*student).fit(stripes(48), stripes(30, 2),
                               {.epochs = 10, .batch = 16, .loss = optim::distill(*teacher, {.weight = 1})});
    CHECK(optim::evaluate(*student, stripes(30, 2))["accuracy"] > 90);
    CHECK_THROWS_AS(optim::distill(*teacher, {.weight = 2}), Error);
    CHECK_THROWS_AS(optim::distill(*teacher, {.temperature = 0}), Error);
}

TEST_CASE("prune schedule: bad ones are refused") {
    auto net = toy_net();
    const auto error = [&](const PruneSchedule& schedule) {
        return message_of([&] { PruneHook(*net, {.sparsity = 0.5}, schedule); });
    };
    CHECK(error({.rounds = 0}) == "prune schedule: expected at least 1 round, got 0");
    CHECK(error({.begin = 0.5, .end = 0.2}) == "prune schedule: expected 0 <= begin <= end <= 1, got 0.5 and 0.2");
    CHECK(error({.every = -1}) == "prune schedule: expected 0 or more steps between updates, got -1");
    CHECK(message_of([] { prune_schedule_of("gradually"); }) ==
          "prune schedule: expected oneshot, iterative or gradual, got 'gradually'");
    PruneHook hook(*net, {.sparsity = 0.5}, {.kind = PruneSchedule::iterative, .rounds = 3});
    CHECK(message_of([&] { make_trainer(*net).fit(training_set(), stripes(30, 2), options(hook, 2)); }) ==
          "prune schedule: expected at least one epoch for each of 3 rounds, got 2");
}
