#pragma once
#include <functional>

#include "lathe/nas/search/evolution.h"

namespace lathe::nas {

struct TuneOptions {
    double seconds = 30;  // after which no further settings are tried
    int seeds = 3;        // searches with each
    uint64_t seed = 0;
};

struct TriedEvolution {
    EvolutionOptions options;
    double mean = 0, least = 0;  // of the best scores that the searches with it found
};

// Which settings of an evolution find the best networks: those given, then random ones, one after the other. Each
// scores as many subnets as those given would, in searches with the same seeds, none of which is the given one. The
// best first, the one tried earlier among equals. on_tried is told of each. Error: as evolve, or fewer than one seed.
std::vector<TriedEvolution> tune_evolution(const Space& space, const Score& score, const Limits& limits,
                                           const EvolutionOptions& given, const TuneOptions& options = {},
                                           const std::function<void(const TriedEvolution&)>& on_tried = {});

}  // namespace lathe::nas
