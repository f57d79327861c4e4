#pragma once
#include <functional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "lathe/nas/predict/efficiency.h"

namespace lathe::nas {

// How good each of some subnets is; greater is better. An AccuracyPredictor is one.
using Score = std::function<std::vector<double>(std::span<const Arch> archs)>;

// A subnet that was looked at.
struct Candidate {
    Arch arch;
    Efficiency cost;
    double score = 0;
};

// How a search went on: the best score after so many subnets had been scored.
struct SearchStep {
    int64_t scored;
    double best;
};

// The best different networks (Space::canonical) of those offered, the best first, the earlier one of equals.
class Finalists {
public:
    explicit Finalists(const Space& space, size_t count = 100) : space_(space), count_(count) {}
    void offer(const Candidate& candidate);
    const std::vector<Candidate>& best() const { return best_; }

private:
    const Space& space_;
    size_t count_;
    std::vector<Candidate> best_;
    std::set<std::string> known_;  // of all that were among the best once
};

struct SearchResult {
    std::vector<Candidate> finalists;  // the best 100 different networks that it looked at, the best first
    int64_t scored = 0;
    std::vector<SearchStep> steps;

    const Candidate& best() const { return finalists.front(); }
};

// `count` candidates that fit the limits, scored. make(i, random) draws number i, again until it fits; each has random
// numbers of its own, of (seed, round, i), so that the result does not depend on the number of threads. What does not
// fit after 300 times is made smaller, one random choice after another set to its least, until it does.
// Error: check_reachable.
std::vector<Candidate> draw_candidates(const Space& space, const Score& score, const Limits& limits, int64_t count,
                                       uint64_t seed, uint64_t round,
                                       const std::function<Arch(int64_t i, Random& random)>& make);

}  // namespace lathe::nas
