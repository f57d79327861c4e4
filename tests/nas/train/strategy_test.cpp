#include "lathe/nas/train/strategy.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "lathe/core/ops/add.h"
#include "lathe/core/ops/kl_div.h"
#include "lathe/core/ops/scale.h"
#include "lathe/data/resize.h"
#include "lathe/data/shapes.h"
#include "lathe/optim/trainer.h"
#include "lathe/tests/nas/elastic/own_network.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/optim/toy.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::nas;
using namespace lathe::testing;

namespace {

data::Dataset pictures(int64_t count) { return data::shapes(data::Split::train, {.count = count}); }

using Make = std::function<std::unique_ptr<Strategy>(Supernet& net, const std::string& folder)>;

std::unique_ptr<Strategy> make_sandwich(Supernet& net, const std::string&) {
    return sandwich(net, {.random = 1, .seed = 3});
}
std::unique_ptr<Strategy> make_progressive(Supernet& net, const std::string& folder) {
    return progressive(net, {.teacher = folder + "/teacher.safetensors", .seed = 3});
}

struct Fitted {
    std::unique_ptr<Supernet> net;
    optim::History history;
};

// Eight epochs of three steps, stopped after as many steps of them; 0: not at all. `seen` is told of every step.
Fitted fit(const Make& make, const std::string& folder, int64_t stop, bool resume,
           const std::function<void(Supernet&, int64_t step)>& seen = {}) {
    seed(resume ? 99 : 1);  // what is resumed does not depend on where it began
    auto net = own_supernet();
    const data::Dataset images = pictures(24);
    net->calibrate_on(images, {.count = 10, .batch = 5});
    optim::Trainer trainer(*net, optim::sgd({.lr = 0.05, .weight_decay = 1e-3}));
    const auto strategy = make(*net, folder);
    int64_t steps = 0;
    const auto on_batch = [&](const optim::BatchReport& report) {
        if (report.validating) return;
        if (seen) seen(*net, steps);
        if (++steps == stop) trainer.request_stop();
    };
    optim::History history = trainer.fit(
        images, pictures(10),
        strategy->fitted({.epochs = 8, .batch = 8, .out = folder, .resume = resume, .on_batch = on_batch}));
    return {std::move(net), std::move(history)};
}

// Stopped after any of so many steps and resumed, a run ends as it would have.
void check_resumes(const Make& make, const std::vector<int64_t>& stops) {
    const TemporaryFolder whole;
    const Fitted expected = fit(make, whole.path, 0, false);
    for (int64_t stop : stops) {
        const TemporaryFolder parts;
        CHECK(fit(make, parts.path, stop, false).history.end == optim::History::End::stopped);
        const Fitted resumed = fit(make, parts.path, 0, true);
        CHECK(same_bits(*resumed.net, *expected.net));
        CHECK(resumed.history.epochs.back().validation.loss == expected.history.epochs.back().validation.loss);
    }
}

}  // namespace

TEST_CASE("the sandwich rule: gradients of the largest on labels, and of others on these and what it gave, add up") {
    seed(1);
    const auto net = own_supernet();
    const auto strategy = sandwich(*net, {.random = 0, .distill = 0.75});
    const optim::FitOptions options = strategy->fitted({});
    const data::Batch batch = pictures(6).batch({0, 1, 2, 3, 4, 5});
    const optim::Forward forward = [&](const data::Batch& some) { return (*net)(some.input()); };
    const optim::StepResult result = options.step(forward, optim::cross_entropy(), batch);
    CHECK(net->active() == net->largest());
    nn::Parameter& fc = *net->named_parameters("fc.weight")[0].second;
    const Tensor both = fc.grad().clone();

    net->zero_grad();
    const Variable whole = (*net)(batch.input()), loss = optim::cross_entropy()(whole, batch);
    CHECK(result.loss == loss.value().item());
    CHECK(same(result.output, whole.value()));
    backward(loss);
    net->use(net->smallest());
    const Variable small = (*net)(data::resized(batch.input(), 24, 24));
    backward(ops::add(ops::scale(optim::cross_entropy()(small, batch), 0.25),
                      ops::scale(ops::kl_div(small, whole.value()), 0.75)));
    for (int64_t i = 0; i < both.numel(); ++i)
        CHECK(both.at(i) == doctest::Approx(fc.grad().at(i)).epsilon(1e-4));
    CHECK(options.hooks.size() == 1);
}

TEST_CASE("sandwich: the same seed trains the same subnets, stopped and resumed, too") {
    check_resumes(make_sandwich, {4});
    const TemporaryFolder folder;
    fit(make_sandwich, folder.path, 1, false);
    CHECK(message_of([&] { fit(make_progressive, folder.path, 0, true); })
              .find("the run was begun with strategy sandwich, 1 random, distill 1, cannot resume it with "
                    "progressive") != std::string::npos);
}

TEST_CASE("progressive shrinking: the same when stopped within a stage and between two, taught by the same teacher") {
    // After the second step of the stage "kernel", and at an epoch's end between "depth 1" and "depth 2".
    check_resumes(make_progressive, {9, 12});
}

TEST_CASE("progressive shrinking: one choice after the other becomes elastic, each stage with a rate of its own") {
    const TemporaryFolder folder;
    const auto moved = [](Supernet& net, const std::string& matrix) {
        const Tensor& value = net.named_parameters(matrix)[0].second->value();
        for (int64_t i = 0; i < value.numel(); ++i)
            if (value.at(i) != (i % 10 ? 0 : 1)) return true;
        return false;
    };
    int64_t kernels = -1;
    fit(make_progressive, folder.path, 0, false, [&](Supernet& net, int64_t step) {
        CHECK(net.active() == net.largest());
        for (int i = 0; i < 3 && kernels < 0; ++i)
            if (moved(net, "blocks." + std::to_string(i) + ".conv.1.0.weight.5to3_matrix")) kernels = step;
        CHECK(std::filesystem::exists(folder / "teacher.safetensors") == (step >= 7));
    });
    CHECK(kernels == 7);  // the full network has 30% of 24 steps

    const auto net = own_supernet();
    const auto strategy = progressive(*net);
    const optim::Schedule schedule = strategy->fitted({}).schedule;
    const auto rate = [&](int64_t step) { return schedule({.step = step, .steps_per_epoch = 3, .epochs = 8}); };
    CHECK(rate(0) == 1);
    CHECK(rate(6) < 0.06);
    CHECK(rate(7) == doctest::Approx(0.3));
    CHECK(rate(11) == doctest::Approx(0.1));
    CHECK_FALSE(strategy->settled({.step = 18, .steps_per_epoch = 3, .epochs = 8}));
    CHECK(strategy->settled({.step = 24, .steps_per_epoch = 3, .epochs = 8}));
}
