#include "lathe/nas/search/random_search.h"

#include <algorithm>

#include "lathe/core/error.h"

namespace lathe::nas {

SearchResult search_at_random(const Space& space, const Score& score, const Limits& limits,
                              const RandomSearchOptions& o) {
    check(o.subnets >= 1, "random search: expected at least one subnet, got ", o.subnets);
    constexpr size_t kFinalists = 100;
    SearchResult result;
    std::vector<Candidate> drawn = draw_candidates(space, score, limits, o.subnets, o.seed, 0,
                                                   [&](int64_t, Random& random) { return space.sample(random); });
    for (const Candidate& candidate : drawn) {
        const double best = result.steps.empty() ? candidate.score : result.steps.back().best;
        result.steps.push_back({++result.scored, std::max(best, candidate.score)});
    }
    result.finalists = best_of(space, std::move(drawn), kFinalists);
    return result;
}

}  // namespace lathe::nas
