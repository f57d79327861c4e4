#include <doctest/doctest.h>

#include <numeric>

#include <cmath>
#include <limits>

#include "lathe/nas/predict/accuracy_predictor.h"
#include "lathe/nas/search/evolution.h"
#include "lathe/nas/search/nsga2.h"
#include "lathe/nas/search/random_search.h"
#include "lathe/nas/space/layers.h"
#include "lathe/tests/nas/made_up_table.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/optim/toy.h"

using namespace lathe;
using namespace lathe::nas;
using lathe::testing::message_of;

namespace {

// Known for every subnet: more and larger kernels are better, the more so in late blocks.
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
constexpr double kBestKernels = 7 * 210;

const Limits kLimits{{Quantity::lab_macs, 30'000'000}, {Quantity::peak_memory, 200 * 1024}};

bool same(const Candidate& a, const Candidate& b) { return a.arch == b.arch && a.score == b.score; }

}  // namespace

TEST_CASE("random search and evolution keep the limits, and evolution finds the best there is") {
    const SearchResult random = search_at_random(mcunetv2(), by_kernels, kLimits);
    CHECK(random.scored == 300);
    CHECK(random.steps.size() == 300);
    CHECK(fits(random.best().cost, kLimits));
    const EvolutionOptions options{.population = 50, .iterations = 60};
    const SearchResult found = evolve(mcunetv2(), by_kernels, kLimits, options);
    CHECK(found.scored == 50 * 61);
    CHECK(fits(found.best().cost, kLimits));
    CHECK(found.best().score == kBestKernels);
    CHECK(random.best().score < kBestKernels);
    for (size_t i = 1; i < found.steps.size(); ++i) CHECK(found.steps[i].best >= found.steps[i - 1].best);
    CHECK(found.best().score == by_kernels({&found.best().arch, 1})[0]);
}

TEST_CASE("a search ends with its best networks, each another one, the best first") {
    for (const SearchResult& found : {search_at_random(mcunetv2(), by_kernels, {}, {.subnets = 150}),
                                      evolve(mcunetv2(), by_kernels, kLimits, {.population = 40, .iterations = 5})}) {
        REQUIRE(found.finalists.size() >= 2);
        CHECK(found.finalists.size() <= 100);
        CHECK(found.steps.back().best == found.best().score);
        for (size_t i = 1; i < found.finalists.size(); ++i) {
            CHECK(found.finalists[i - 1].score >= found.finalists[i].score);
            for (size_t k = 0; k < i; ++k)
                CHECK(mcunetv2().canonical(found.finalists[k].arch) != mcunetv2().canonical(found.finalists[i].arch));
        }
    }
}

TEST_CASE("limits that hardly any network of a joint space meets are kept, too") {
    const Space& joint = ofa_resnet_cifar_joint();
    const int64_t least = efficiency(joint, joint.smallest()).flash;
    const Limits tight{{Quantity::flash, least + least / 20}};
    const Score by_bits = [](std::span<const Arch> archs) {
        std::vector<double> scores;
        for (const Arch& arch : archs) scores.push_back(std::accumulate(arch.bits.begin(), arch.bits.end(), 0.0));
        return scores;
    };
    for (const SearchResult& found : {search_at_random(joint, by_bits, tight, {.subnets = 30}),
                                      evolve(joint, by_bits, tight, {.population = 20, .iterations = 3})})
        for (const Candidate& candidate : found.finalists) CHECK(fits(candidate.cost, tight));
}

TEST_CASE("limits that hardly any subnet meets end a search, too, and those that none meets are an error") {
    const Limits tight{{Quantity::lab_macs, 8'400'000}};
    const SearchResult found = search_at_random(mcunetv2(), by_kernels, tight, {.subnets = 4});
    CHECK(fits(found.best().cost, tight));
    const Limits none{{Quantity::peak_memory, 64 * 1024}};
    const std::string words = "mcunetv2: peak-memory of at most 64 KB cannot be met, the least is 72 KB";
    CHECK(message_of([&] { search_at_random(mcunetv2(), by_kernels, none); }) == words);
    CHECK(message_of([&] { evolve(mcunetv2(), by_kernels, none); }) == words);
    CHECK(message_of([&] { pareto_front(mcunetv2(), by_kernels, none); }) == words);
    CHECK(message_of([&] { evolve(mcunetv2(), by_kernels, {}, {.population = 10, .parents = 0.01}); }) ==
          "evolution: expected a share of parents up to 1 that keeps at least one of 10, got 0.01");
    CHECK(message_of([&] { evolve(mcunetv2(), by_kernels, {}, {.mutation = {.arch = 2}}); })
              .starts_with("evolution: expected a share of mutants and probabilities"));
    CHECK(message_of([&] { pareto_front(mcunetv2(), by_kernels, {}, {.least = {}}); }) ==
          "NSGA-II: expected a quantity to be small beside the score");
}

TEST_CASE("the same seed finds the same, for any number of threads; another seed something else") {
    const auto all = [](uint64_t seed) {
        std::vector<Candidate> found{search_at_random(mcunetv2(), by_kernels, kLimits, {.seed = seed}).best(),
                                     evolve(mcunetv2(), by_kernels, kLimits,
                                            {.population = 12, .iterations = 3, .seed = seed})
                                         .best()};
        for (Candidate& member : pareto_front(mcunetv2(), by_kernels, kLimits,
                                              {.population = 16, .generations = 4, .seed = seed}))
            found.push_back(std::move(member));
        return found;
    };
    std::vector<Candidate> once, again;
    {
        const testing::ThreadScope one(1);
        once = all(1);
    }
    const testing::ThreadScope three(3);
    again = all(1);
    REQUIRE(once.size() == again.size());
    for (size_t i = 0; i < once.size(); ++i) CHECK(same(once[i], again[i]));
    CHECK_FALSE(same(all(2)[0], once[0]));
}

TEST_CASE("NSGA-II's parts on points in the plane") {
    constexpr double inf = std::numeric_limits<double>::infinity();
    const std::vector<Point> points{{1, 5}, {2, 3}, {4, 1}, {2, 5}, {5, 5}, {3, 2}};
    const std::vector<int> fronts = front_numbers(points);
    CHECK(fronts == std::vector<int>{0, 0, 0, 1, 2, 0});
    const std::vector<double> distances = crowding_distances(points, fronts);
    CHECK(distances[0] == inf);
    CHECK(distances[2] == inf);
    CHECK(distances[3] == inf);
    CHECK(distances[1] == doctest::Approx(2.0 / 3 + 3.0 / 4));  // between (1, 5) and (3, 2)
    CHECK(distances[5] == doctest::Approx(2.0 / 3 + 2.0 / 4));
    CHECK(front_numbers({}).empty());
    CHECK(crowding_distances({}, {}).empty());
}

TEST_CASE("a Pareto front: nothing on it is beaten, and it reaches as far as single searches do") {
    const ParetoOptions options{.least = {Quantity::lab_macs, Quantity::peak_memory}, .population = 60,
                                .generations = 60};
    const std::vector<Candidate> front = pareto_front(mcunetv2(), by_kernels, {}, options);
    CHECK(front.size() > 20);
    for (const Candidate& a : front)
        for (const Candidate& b : front) {
            const bool beaten = b.score >= a.score && b.cost.lab_macs < a.cost.lab_macs &&
                                b.cost.peak_memory <= a.cost.peak_memory;
            CHECK_FALSE(beaten);
        }
    for (size_t i = 1; i < front.size(); ++i) CHECK(front[i - 1].cost.lab_macs <= front[i].cost.lab_macs);
    CHECK(front.front().cost.lab_macs < 10'000'000);
    CHECK(front.back().score > 0.95 * kBestKernels);
    CHECK(mcunetv2().canonical(front[0].arch) == mcunetv2().canonical(mcunetv2().canonical(front[0].arch)));
}

TEST_CASE("10,000 evaluations by a predictor: what evolution ends with has the score that it alone is given") {
    seed(1);
    const AccuracyPredictor predictor(mcunetv2(), mcunetv2().choices, 0.9);
    const SearchResult found = evolve(
        mcunetv2(), [&](std::span<const Arch> archs) { return predictor(archs); }, kLimits, {.iterations = 99});
    CHECK(found.scored == 10000);
    CHECK(fits(found.best().cost, kLimits));
    CHECK(found.best().score == doctest::Approx(predictor({{found.best().arch}})[0]).epsilon(1e-5));
}
