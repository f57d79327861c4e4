#include "lathe/nas/predict/rank_correlation.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "lathe/core/error.h"

namespace lathe::nas {

namespace {

void check_lengths(std::span<const double> a, std::span<const double> b) {
    check(a.size() == b.size(), "rank correlation: expected two lists of one length, got ", a.size(), " and ",
          b.size());
}

// Calls f(begin, end) for every run of equal things of a sorted list.
template <class Same, class F>
void for_each_run(size_t size, Same&& same, F&& f) {
    for (size_t begin = 0, end; begin < size; begin = end) {
        for (end = begin + 1; end < size && same(begin, end);) ++end;
        f(begin, end);
    }
}

std::vector<double> ranks(std::span<const double> values) {
    std::vector<size_t> order(values.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return values[i] < values[j]; });
    std::vector<double> ranks(values.size());
    for_each_run(
        order.size(), [&](size_t i, size_t j) { return values[order[i]] == values[order[j]]; },
        [&](size_t begin, size_t end) {
            for (size_t i = begin; i < end; ++i) ranks[order[i]] = 0.5 * static_cast<double>(begin + end - 1);
        });
    return ranks;
}

double pearson(const std::vector<double>& a, const std::vector<double>& b) {
    const auto n = static_cast<double>(a.size());
    const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / n;
    const double mean_b = std::accumulate(b.begin(), b.end(), 0.0) / n;
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        ab += (a[i] - mean_a) * (b[i] - mean_b);
        aa += (a[i] - mean_a) * (a[i] - mean_a);
        bb += (b[i] - mean_b) * (b[i] - mean_b);
    }
    return ab / std::sqrt(aa * bb);
}

double pairs(size_t count) { return 0.5 * static_cast<double>(count) * (static_cast<double>(count) - 1); }

// Sorts by merging, and counts the pairs that stand in falling order before.
double sort_and_count(std::vector<double>& values, std::vector<double>& merged, size_t begin, size_t end) {
    if (end - begin < 2) return 0;
    const size_t middle = begin + (end - begin) / 2;
    double falling = sort_and_count(values, merged, begin, middle) + sort_and_count(values, merged, middle, end);
    size_t left = begin, right = middle;
    for (size_t to = begin; to < end; ++to) {
        const bool from_right = left == middle || (right < end && values[right] < values[left]);
        if (from_right) falling += static_cast<double>(middle - left);
        merged[to] = values[from_right ? right++ : left++];
    }
    const auto at = [](size_t i) { return static_cast<std::ptrdiff_t>(i); };
    std::copy(merged.begin() + at(begin), merged.begin() + at(end), values.begin() + at(begin));
    return falling;
}

}  // namespace

double spearman(std::span<const double> a, std::span<const double> b) {
    check_lengths(a, b);
    return pearson(ranks(a), ranks(b));
}

double kendall_tau(std::span<const double> a, std::span<const double> b) {
    check_lengths(a, b);
    std::vector<std::pair<double, double>> both;
    for (size_t i = 0; i < a.size(); ++i) both.emplace_back(a[i], b[i]);
    std::sort(both.begin(), both.end());
    double ties_a = 0, ties_both = 0, ties_b = 0;
    const auto add_pairs = [](double& sum) { return [&](size_t begin, size_t end) { sum += pairs(end - begin); }; };
    for_each_run(both.size(), [&](size_t i, size_t j) { return both[i].first == both[j].first; }, add_pairs(ties_a));
    for_each_run(both.size(), [&](size_t i, size_t j) { return both[i] == both[j]; }, add_pairs(ties_both));
    std::vector<double> second, merged(both.size());
    for (const auto& [x, y] : both) second.push_back(y);
    const double discordant = sort_and_count(second, merged, 0, second.size());
    for_each_run(second.size(), [&](size_t i, size_t j) { return second[i] == second[j]; }, add_pairs(ties_b));
    const double all = pairs(both.size());
    return (all - ties_a - ties_b + ties_both - 2 * discordant) / std::sqrt((all - ties_a) * (all - ties_b));
}

}  // namespace lathe::nas
