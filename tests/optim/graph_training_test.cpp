#include <doctest/doctest.h>

#include "lathe/nn/files/model_file.h"
#include "lathe/nn/model.h"
#include "lathe/optim/trainer.h"
#include "lathe/tests/optim/toy.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

optim::FitOptions options(int64_t epochs, const std::string& out = {}, bool resume = false) {
    return {.epochs = epochs,
            .batch = 16,
            .schedule = optim::one_cycle(),
            .clip_norm = 1,
            .ema = 0.9,
            .out = out,
            .resume = resume};
}

}  // namespace

TEST_CASE(
    "a network that came from a file trains to the bits of its source: averaged, clipped, recomputed, stopped and "
    "resumed") {
    const TemporaryFolder folder;
    const auto fit = [](nn::Module& net, const optim::FitOptions& o) {
        optim::Trainer(net, optim::sgd({.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-3}))
            .fit(stripes(48), stripes(30, 2), o);
    };
    nn::Model source("toy", {.classes = 3, .input = {8, 8, 1}}, toy_net());
    nn::save(source, folder / "toy.safetensors");
    fit(source, options(3));

    const auto loaded = nn::load(folder / "toy.safetensors");
    fit(*loaded, options(3));
    CHECK(same_bits(*loaded, source));

    const auto recomputed = nn::load(folder / "toy.safetensors");
    auto recomputing = options(3);
    recomputing.recompute_activations = true;
    fit(*recomputed, recomputing);
    CHECK(same_bits(*recomputed, source));

    const auto stopped = nn::load(folder / "toy.safetensors");
    optim::Trainer trainer(*stopped, optim::sgd({.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-3}));
    int64_t steps = 0;
    auto partly = options(3, folder / "run");
    partly.on_batch = [&](const optim::BatchReport& report) {
        if (!report.validating && ++steps == 5) trainer.request_stop();
    };
    CHECK(trainer.fit(stripes(48), stripes(30, 2), partly).end == optim::History::End::stopped);
    const auto resumed = nn::load(folder / "run/last.safetensors");  // needs nothing else
    fit(*resumed, options(3, folder / "run", true));
    CHECK(same_bits(*resumed, source));
}
