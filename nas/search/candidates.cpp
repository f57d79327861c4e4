#include "lathe/nas/search/candidates.h"

#include <algorithm>

#include "lathe/core/error.h"
#include "lathe/core/parallel.h"
#include "lathe/data/dataset.h"

namespace lathe::nas {

namespace {

constexpr int kTries = 300;

// Ends at the space's smallest network at the latest.
void shrink_to_fit(const Space& space, const Limits& limits, Candidate& candidate, Random& random) {
    Arch& arch = candidate.arch;
    const Arch least = space.smallest();
    std::vector<std::pair<int*, int>> parts{{&arch.wid, least.wid}, {&arch.image_size, least.image_size}};
    const auto add = [&](std::vector<int>& values, const std::vector<int>& least_values) {
        for (size_t i = 0; i < values.size(); ++i) parts.emplace_back(&values[i], least_values[i]);
    };
    for (const BlockChoice& choice : kBlockChoices) add(arch.*choice.values, least.*choice.values);
    add(arch.d, least.d);
    for (int64_t part : data::permutation(static_cast<int64_t>(parts.size()), random)) {
        const auto [value, least_value] = parts[static_cast<size_t>(part)];
        *value = least_value;
        candidate.cost = efficiency(space, arch, limits);
        if (fits(candidate.cost, limits)) return;
    }
}

}  // namespace

void Finalists::offer(const Candidate& candidate) {
    if (best_.size() == count_ && candidate.score <= best_.back().score) return;
    if (!known_.insert(space_.canonical(candidate.arch).str()).second) return;
    const auto better = [](const Candidate& a, const Candidate& b) { return a.score > b.score; };
    best_.insert(std::upper_bound(best_.begin(), best_.end(), candidate, better), candidate);
    if (best_.size() > count_) best_.pop_back();
}

std::vector<Candidate> draw_candidates(const Space& space, const Score& score, const Limits& limits, int64_t count,
                                       uint64_t seed, uint64_t round,
                                       const std::function<Arch(int64_t i, Random& random)>& make) {
    check_reachable(space, limits);
    std::vector<Candidate> made(static_cast<size_t>(count));
    parallel_for(count, 4, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            Random random(seed, mix(round, static_cast<uint64_t>(i)));
            Candidate& candidate = made[static_cast<size_t>(i)];
            bool fit = false;
            for (int tries = 0; tries < kTries && !fit; ++tries) {
                candidate.arch = make(i, random);
                candidate.cost = efficiency(space, candidate.arch, limits);
                fit = fits(candidate.cost, limits);
            }
            if (!fit) shrink_to_fit(space, limits, candidate, random);
        }
    });
    std::vector<Arch> archs;
    for (const Candidate& candidate : made) archs.push_back(candidate.arch);
    const std::vector<double> scores = score(archs);
    check(scores.size() == made.size(), "search: expected ", made.size(), " scores, got ", scores.size());
    for (size_t i = 0; i < made.size(); ++i) made[i].score = scores[i];
    return made;
}

}  // namespace lathe::nas
