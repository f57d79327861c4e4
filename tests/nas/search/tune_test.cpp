#include "lathe/nas/search/tune.h"

#include <doctest/doctest.h>

#include "lathe/nas/space/layers.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::nas;
using lathe::testing::message_of;

namespace {

// More and larger kernels are better, the more so in late blocks.
std::vector<double> by_kernels(std::span<const Arch> archs) {
    std::vector<double> scores;
    for (const Arch& arch : archs) {
        double score = 0;
        for (const Block& block : layers_of(mcunetv2(), arch).blocks)
            score += block.kernel * (1.0 + static_cast<double>(block.index));
        scores.push_back(score);
    }
    return scores;
}

const Limits kLimits{{Quantity::lab_macs, 30'000'000}};

}  // namespace

TEST_CASE("settings of an evolution are tried at the same cost, and the best is better on seeds that it has not seen") {
    // The notebook of the course's lab sets these: one parent, one mutant.
    const EvolutionOptions notebook{.population = 10, .iterations = 20, .parents = 0.1, .mutants = 0.1,
                                    .mutation = {.arch = 0.1, .image_size = 0.1}};
    int told = 0;
    const auto tried = tune_evolution(mcunetv2(), by_kernels, kLimits, notebook, {.seconds = 1.5}, [&](const auto& t) {
        ++told;
        CHECK(t.mean >= t.least);
        CHECK(t.options.population * (t.options.iterations + 1) <= 210);
        CHECK(t.options.population * (t.options.iterations + 1) > 210 / 2);
    });
    CHECK(told == static_cast<int>(tried.size()));
    REQUIRE(tried.size() >= 3);
    for (size_t i = 1; i < tried.size(); ++i) CHECK(tried[i - 1].mean >= tried[i].mean);
    double before = 0, after = 0;
    for (uint64_t seed = 100; seed < 110; ++seed) {
        EvolutionOptions old = notebook, best = tried.front().options;
        old.seed = best.seed = seed;
        before += evolve(mcunetv2(), by_kernels, kLimits, old).best().score;
        after += evolve(mcunetv2(), by_kernels, kLimits, best).best().score;
    }
    CHECK(after > before);
}

TEST_CASE("with no time at all the given settings are tried, and the same seeds find the same") {
    const EvolutionOptions given{.population = 8, .iterations = 3, .seed = 5};
    const auto once = tune_evolution(mcunetv2(), by_kernels, kLimits, given, {.seconds = 0}),
               again = tune_evolution(mcunetv2(), by_kernels, kLimits, given, {.seconds = 0});
    REQUIRE(once.size() == 1);
    CHECK(once[0].mean == again[0].mean);
    CHECK(once[0].options.population == 8);
    CHECK(once[0].options.seed == 5);
    CHECK(message_of([&] { tune_evolution(mcunetv2(), by_kernels, kLimits, given, {.seeds = 0}); }) ==
          "tune: expected 1 or more seeds, got 0");
    CHECK(message_of([&] { tune_evolution(mcunetv2(), by_kernels, kLimits, {.population = 0}, {}); })
              .starts_with("evolution: expected a population"));
}
