#include "lathe/optim/schedule.h"

#include <doctest/doctest.h>

#include "lathe/core/files/safetensors.h"

using namespace lathe;

namespace {

void compare(const std::string& name, const optim::Schedule& schedule, int64_t steps_per_epoch) {
    CAPTURE(name);
    const Tensor expected = read_safetensors("tests/fixtures/optimizers.safetensors").tensors.at("schedule/" + name);
    for (int64_t step = 0; step < expected.numel(); ++step) {
        CAPTURE(step);
        const optim::Position at{.step = step, .steps_per_epoch = steps_per_epoch, .epochs = 100 / steps_per_epoch};
        CHECK(schedule(at) == doctest::Approx(expected.at(step)).epsilon(1e-6));
    }
}

double factor(const std::string& text, int64_t step) {
    return optim::parse_schedule(text)({.step = step, .steps_per_epoch = 10, .epochs = 10});
}

}  // namespace

TEST_CASE("schedules have PyTorch's values") {
    compare("step", optim::step_decay({.every = 3, .gamma = 0.2}), 10);
    compare("multi-step", optim::multi_step({.epochs = {2, 5, 6}, .gamma = 0.3}), 10);
    compare("cosine", optim::cosine({.floor = 0.05}), 10);
    compare("one-cycle", optim::one_cycle({.rise = 0.25}), 10);
    compare("one-cycle", optim::one_cycle({.rise = 0.25}), 1);
}

TEST_CASE("warm-up rises linearly to where the curve starts") {
    for (const std::string name : {"constant", "step:3", "multi-step:4,6", "cosine", "one-cycle"}) {
        CAPTURE(name);
        const std::string text = name + "+warmup:2";
        const double top = factor(text, 20);
        CHECK(factor(text, 0) == doctest::Approx(top / 20));
        CHECK(factor(text, 9) == doctest::Approx(top / 2));
        CHECK(factor(text, 19) == doctest::Approx(top));
    }
    CHECK(factor("cosine+warmup:2", 60) == doctest::Approx(0.5));
    CHECK(factor("step:3+warmup:2", 30) == doctest::Approx(0.1));
    CHECK(factor("one-cycle+warmup:2", 20) == doctest::Approx(0.04));
}

TEST_CASE("a schedule is spelled as it is parsed") {
    for (const std::string text : {"constant", "step:20:0.5", "multi-step:60,120,160:0.2", "cosine", "cosine:0.01",
                                   "one-cycle:0.25", "cosine+warmup:0.5"})
        CHECK(optim::parse_schedule(text).text == text);
    CHECK(optim::parse_schedule("step").text == "step:30:0.1");
    CHECK(optim::parse_schedule("one-cycle").text == "one-cycle:0.3");
}

TEST_CASE("a misspelt schedule is refused") {
    CHECK_THROWS_WITH(
        optim::parse_schedule("cosin"),
        "schedule: expected constant, step, multi-step, cosine or one-cycle, got 'cosin'; did you mean 'cosine'?");
    CHECK_THROWS_WITH(optim::parse_schedule("step:x"), "schedule 'step:x': expected a whole number, got 'x'");
    CHECK_THROWS_WITH(optim::parse_schedule("cosine:0.1:3"),
                      "schedule 'cosine:0.1:3': expected at most 1 numbers after cosine, got 2");
    for (const std::string text : {"",
                                   "step:0",
                                   "step:30:nan",
                                   "step:30:-1",
                                   "step:",
                                   "step:3.5",
                                   "multi-step",
                                   "multi-step:",
                                   "multi-step:1,,2",
                                   "multi-step:-5",
                                   "multi-step:0,3",
                                   "multi-step:5,3",
                                   "multi-step:4,4",
                                   "cosine:2",
                                   "cosine:nan",
                                   "one-cycle:1",
                                   "constant:1",
                                   "cosine+",
                                   "cosine+warmup",
                                   "cosine+warmup:-1",
                                   "cosine+warmup:1e300",
                                   "cosine+warmup:1+warmup:2",
                                   "cosine +warmup:1"}) {
        CAPTURE(text);
        CHECK_THROWS_AS(optim::parse_schedule(text), Error);
    }
}

TEST_CASE("a schedule restarts, each time as if the run had no more") {
    const optim::Schedule cosine = optim::parse_schedule("cosine+warmup:1+restart:5");
    CHECK(cosine.text == "cosine+warmup:1+restart:5");
    for (int64_t step = 0; step < 50; ++step) {
        const double once =
            optim::parse_schedule("cosine+warmup:1")({.step = step, .steps_per_epoch = 10, .epochs = 5});
        CHECK(cosine({.step = step, .steps_per_epoch = 10, .epochs = 10}) == once);
        CHECK(cosine({.step = step + 50, .steps_per_epoch = 10, .epochs = 10}) == once);
    }
    for (const char* text : {"cosine+restart:0", "cosine+restart:", "cosine+restart:2+restart:2", "cosine+restart:1.5"})
        CHECK_THROWS_AS(optim::parse_schedule(text), Error);
}

TEST_CASE("one cycle of very few steps stays finite") {
    for (int64_t steps = 1; steps < 6; ++steps)
        for (int64_t step = 0; step <= steps; ++step) {
            const double value = optim::one_cycle({.rise = 0.5})({.step = step, .steps_per_epoch = 1, .epochs = steps});
            CHECK((value > 0 && value <= 1));
        }
}
