#include "lathe/nas/search/random_search.h"

#include "lathe/core/error.h"

namespace lathe::nas {

SearchResult search_at_random(const Space& space, const Score& score, const Limits& limits,
                              const RandomSearchOptions& o) {
    check(o.subnets >= 1, "random search: expected at least one subnet, got ", o.subnets);
    SearchResult result;
    Finalists finalists(space);
    for (const Candidate& candidate :
         draw_candidates(space, score, limits, o.subnets, o.seed, 0,
                         [&](int64_t, Random& random) { return space.sample(random); })) {
        finalists.offer(candidate);
        result.steps.push_back({++result.scored, finalists.best().front().score});
    }
    result.finalists = finalists.best();
    return result;
}

}  // namespace lathe::nas
