#include "lathe/nas/search/random_search.h"

#include "lathe/core/error.h"

namespace lathe::nas {

SearchResult search_at_random(const Space& space, const Score& score, const Limits& limits,
                              const RandomSearchOptions& o) {
    check(o.subnets >= 1, "random search: expected at least one subnet, got ", o.subnets);
    SearchResult result;
    for (Candidate& candidate : draw_candidates(space, score, limits, o.subnets, o.seed, 0,
                                                [&](int64_t, Random& random) { return space.sample(random); })) {
        if (result.scored++ == 0 || candidate.score > result.best.score) result.best = std::move(candidate);
        result.steps.push_back({result.scored, result.best.score});
    }
    return result;
}

}  // namespace lathe::nas
