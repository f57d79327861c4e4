#pragma once
#include "lathe/nas/search/candidates.h"

namespace lathe::nas {

struct RandomSearchOptions {
    int64_t subnets = 300;
    uint64_t seed = 0;
};

// The best of some random subnets within the limits, as the course lab's random agent. The same seed finds the same
// one, for any number of threads. Error: fewer than one subnet, or limits that no subnet meets (says the nearest).
SearchResult search_at_random(const Space& space, const Score& score, const Limits& limits,
                              const RandomSearchOptions& options = {});

}  // namespace lathe::nas
