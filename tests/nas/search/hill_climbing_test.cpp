#include <doctest/doctest.h>

#include <algorithm>

#include "lathe/nas/search/evolution.h"
#include "lathe/nas/search/random_search.h"
#include "lathe/nas/space/layers.h"

// The exercise of nas/README.md, stop 7, solved.
using namespace lathe;
using namespace lathe::nas;

namespace {

// From a random subnet to the best of 50 mutants, as long as that is better.
Candidate climb(const Space& space, const Score& score, const Limits& limits, uint64_t seed) {
    Candidate here = draw_candidates(space, score, limits, 1, seed, 0,
                                     [&](int64_t, Random& random) { return space.sample(random); })[0];
    for (uint64_t round = 1;; ++round) {
        std::vector<Candidate> mutants = draw_candidates(
            space, score, limits, 50, seed, round,
            [&](int64_t, Random& random) { return space.mutated(here.arch, {}, random); });
        const auto best = std::max_element(mutants.begin(), mutants.end(), [](const Candidate& a, const Candidate& b) {
            return a.score < b.score;
        });
        if (best->score <= here.score) return here;
        here = std::move(*best);
    }
}

// The mean kernel of all blocks that there could be.
std::vector<double> mean_kernel(std::span<const Arch> archs) {
    std::vector<double> scores;
    for (const Arch& arch : archs) {
        double sum = 0;
        for (const Block& block : layers_of(mcunetv2(), arch).blocks) sum += block.kernel;
        scores.push_back(sum / static_cast<double>(mcunetv2().blocks()));
    }
    return scores;
}

}  // namespace

TEST_CASE("a search that climbs is better than a random one and ends below evolution") {
    const Limits limits{{Quantity::lab_macs, 40'000'000}};
    double climbed = 0, random = 0, evolved = 0;
    for (uint64_t seed = 0; seed < 5; ++seed) {
        const Candidate top = climb(mcunetv2(), mean_kernel, limits, seed);
        CHECK(fits(top.cost, limits));
        climbed += top.score / 5;
        random += search_at_random(mcunetv2(), mean_kernel, limits, {.seed = seed}).best().score / 5;
        evolved += evolve(mcunetv2(), mean_kernel, limits, {.iterations = 50, .seed = seed}).best().score / 5;
    }
    MESSAGE("random ", random, ", climbing ", climbed, ", evolution ", evolved);
    CHECK(climbed > random);
    CHECK(evolved > climbed);
}
