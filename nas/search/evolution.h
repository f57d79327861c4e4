#pragma once
#include "lathe/nas/search/candidates.h"

namespace lathe::nas {

// The defaults are those of the course lab's code; its notebook sets 10, 10, 0.1, 0.1 and probabilities of 0.1, which
// makes one parent and one mutant.
struct EvolutionOptions {
    int64_t population = 100, iterations = 500;
    double parents = 0.25;  // share of the population that goes on, and that children come from
    double mutants = 0.5;   // share of children that are mutated copies of one parent; the others have two
    Mutation mutation{};
    uint64_t seed = 0;
};

// Evolution within the limits (Cai et al. 2020, arXiv 1908.09791): each iteration keeps the best and makes as many
// children of them as the population has. The same seed finds the same one, for any number of threads. Error: options
// out of range, or limits that no subnet meets (says the nearest).
SearchResult evolve(const Space& space, const Score& score, const Limits& limits, const EvolutionOptions& options = {});

}  // namespace lathe::nas
