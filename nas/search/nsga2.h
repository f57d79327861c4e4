#pragma once
#include "lathe/nas/search/candidates.h"

namespace lathe::nas {

struct ParetoOptions {
    std::vector<Quantity> least{Quantity::lab_macs};  // what is to be small, beside a great score
    int64_t population = 100, generations = 100;
    double crossover = 0.9;  // probability that a child has two parents
    Mutation mutation{};
    uint64_t seed = 0;
};

// A whole front in one run: subnets within the limits of which none is as good as another in everything and better in
// something, sorted by the first quantity. NSGA-II (Deb et al. 2002, "A fast and elitist multiobjective genetic
// algorithm"). The same seed finds the same front, for any number of threads. Error: options out of range, or limits
// that no subnet meets (says the nearest).
std::vector<Candidate> pareto_front(const Space& space, const Score& score, const Limits& limits,
                                    const ParetoOptions& options = {});

// Its parts, for any points whose coordinates are all to be small.
using Point = std::vector<double>;
// The front of each point, from 0: without those of the fronts before, no point of it is dominated.
std::vector<int> front_numbers(const std::vector<Point>& points);
// How lonely each point is within its front: the size of the box between its neighbours, infinite at the ends.
std::vector<double> crowding_distances(const std::vector<Point>& points, const std::vector<int>& fronts);

}  // namespace lathe::nas
