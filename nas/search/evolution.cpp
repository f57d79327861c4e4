#include "lathe/nas/search/evolution.h"

#include <algorithm>
#include <cmath>

#include "lathe/core/error.h"

namespace lathe::nas {

namespace {

bool is_share(double value) { return value >= 0 && value <= 1; }

int64_t share_of(double share, int64_t all) { return std::llround(share * static_cast<double>(all)); }

}  // namespace

SearchResult evolve(const Space& space, const Score& score, const Limits& limits, const EvolutionOptions& o) {
    check(o.population >= 1 && o.iterations >= 0, "evolution: expected a population of 1 or more and 0 or more "
          "iterations, got ", o.population, " and ", o.iterations);
    check(is_share(o.parents) && share_of(o.parents, o.population) >= 1,
          "evolution: expected a share of parents up to 1 that keeps at least one of ", o.population, ", got ",
          o.parents);
    check(is_share(o.mutants) && is_share(o.mutation.arch) && is_share(o.mutation.image_size),
          "evolution: expected a share of mutants and probabilities of mutation in [0, 1], got ", o.mutants, ", ",
          o.mutation.arch, " and ", o.mutation.image_size);
    const auto parents = static_cast<size_t>(share_of(o.parents, o.population));
    const int64_t mutants = share_of(o.mutants, o.population);

    std::vector<Candidate> population;
    const auto parent = [&](Random& random) -> const Arch& {
        return population[static_cast<size_t>(random.below(static_cast<int64_t>(population.size())))].arch;
    };
    SearchResult result;
    Finalists finalists(space);
    for (int64_t iteration = 0; iteration <= o.iterations; ++iteration) {
        std::vector<Candidate> children = draw_candidates(
            space, score, limits, o.population, o.seed, static_cast<uint64_t>(iteration),
            [&](int64_t i, Random& random) {
                if (iteration == 0) return space.sample(random);
                if (i < mutants) return space.mutated(parent(random), o.mutation, random);
                const Arch& first = parent(random);
                return space.crossed(first, parent(random), random);
            });
        for (const Candidate& child : children) finalists.offer(child);
        population.insert(population.end(), std::make_move_iterator(children.begin()),
                          std::make_move_iterator(children.end()));
        std::stable_sort(population.begin(), population.end(),
                         [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
        population.resize(std::min(parents, population.size()));
        result.scored += o.population;
        result.steps.push_back({result.scored, population.front().score});
    }
    result.finalists = finalists.best();
    return result;
}

}  // namespace lathe::nas
