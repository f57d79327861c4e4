#include "lathe/nas/search/tune.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "lathe/core/error.h"

namespace lathe::nas {

namespace {

// Between two numbers above 0, each factor as likely as another.
double log_uniform(double low, double high, Random& random) { return low * std::pow(high / low, random.uniform()); }

EvolutionOptions random_settings(int64_t subnets, Random& random) {
    EvolutionOptions o;
    const int64_t most = std::max<int64_t>(2, subnets / 2);
    o.population = std::clamp<int64_t>(std::llround(log_uniform(10, 300, random)), 2, most);
    o.iterations = std::max<int64_t>(0, subnets / o.population - 1);
    o.parents = std::max(log_uniform(0.03, 0.6, random), 1.0 / static_cast<double>(o.population));
    o.mutants = random.uniform();
    o.mutation = {.arch = log_uniform(0.02, 0.5, random), .image_size = random.uniform()};
    return o;
}

}  // namespace

std::vector<TriedEvolution> tune_evolution(const Space& space, const Score& score, const Limits& limits,
                                           const EvolutionOptions& given, const TuneOptions& o,
                                           const std::function<void(const TriedEvolution&)>& on_tried) {
    using Clock = std::chrono::steady_clock;
    check(o.seeds >= 1, "tune: expected 1 or more seeds, got ", o.seeds);
    const auto end = Clock::now() + std::chrono::duration<double>(o.seconds);
    const int64_t subnets = given.population * (given.iterations + 1);
    std::vector<TriedEvolution> tried;
    for (uint64_t i = 0; i == 0 || Clock::now() < end; ++i) {
        Random random(o.seed, i);
        TriedEvolution now{.options = i == 0 ? given : random_settings(subnets, random), .least = INFINITY};
        for (int k = 0; k < o.seeds; ++k) {
            EvolutionOptions search = now.options;
            search.seed = mix(given.seed, static_cast<uint64_t>(k) + 1);
            const double best = evolve(space, score, limits, search).best().score;
            now.mean += best / o.seeds;
            now.least = std::min(now.least, best);
        }
        now.options.seed = given.seed;
        if (on_tried) on_tried(now);
        tried.push_back(now);
    }
    std::stable_sort(tried.begin(), tried.end(),
                     [](const TriedEvolution& a, const TriedEvolution& b) { return a.mean > b.mean; });
    return tried;
}

}  // namespace lathe::nas
