#include "lathe/compress/quantize/kmeans.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "lathe/core/ceil_div.h"
#include "lathe/core/enum_names.h"
#include "lathe/core/random.h"

namespace lathe::compress {

namespace {

constexpr EnumNames<KMeansInit, 5> kInitNames{"k-means initialisation", {
    {KMeansInit::exact, "exact"},
    {KMeansInit::plus_plus, "k-means++"},
    {KMeansInit::linear, "linear"},
    {KMeansInit::density, "density"},
    {KMeansInit::random, "random"},
}};

// The different values in ascending order, with sums over those before each: of how often they occur, of them, and of
// their squares, less their mean, so that differences of sums lose little.
class Line {
public:
    explicit Line(std::vector<float> all) {
        std::sort(all.begin(), all.end());
        double mean = 0;
        for (float x : all) mean += x / static_cast<double>(all.size());
        for (size_t i = 0, next; i < all.size(); i = next) {
            for (next = i; next < all.size() && all[next] == all[i];) ++next;
            const double x = all[i] - mean, times = static_cast<double>(next - i);
            values_.push_back(all[i]);
            sums_.push_back({sums_.back().times + times, sums_.back().x + times * x, sums_.back().xx + times * x * x});
        }
        mean_ = mean;
    }

    int64_t size() const { return static_cast<int64_t>(values_.size()); }
    float value(int64_t i) const { return values_[static_cast<size_t>(i)]; }
    double times_before(int64_t i) const { return sum(i).times; }
    double spread() const { return sums_.back().xx; }
    // Of the values [begin, end): their mean, and the sum of squared distances to it, 0 of fewer than two.
    double mean(int64_t begin, int64_t end) const {
        return mean_ + (sum(end).x - sum(begin).x) / (sum(end).times - sum(begin).times);
    }
    double cost(int64_t begin, int64_t end) const {
        if (end - begin < 2) return 0;
        const double x = sum(end).x - sum(begin).x;
        return std::max(0.0, sum(end).xx - sum(begin).xx - x * x / (sum(end).times - sum(begin).times));
    }
    int64_t first_from(double value) const {  // the first value that is no less
        return std::lower_bound(values_.begin(), values_.end(), value) - values_.begin();
    }
    int64_t first_beyond(double times) const {  // the value in which so many occurrences end
        const auto found = std::upper_bound(sums_.begin() + 1, sums_.end() - 1, times,
                                            [](double t, const Sums& s) { return t < s.times; });
        return found - sums_.begin() - 1;
    }

private:
    struct Sums {
        double times = 0, x = 0, xx = 0;
    };
    const Sums& sum(int64_t i) const { return sums_[static_cast<size_t>(i)]; }

    std::vector<float> values_;
    std::vector<Sums> sums_{{}};
    double mean_ = 0;
};

// Where clusters begin: 0, …, and the number of values.
using Borders = std::vector<int64_t>;

// For each column the least entry of a matrix and its row. Rows of least entries grow with the columns, so those of the
// columns on both sides of the middle one lie on its two sides.
struct Minima {
    std::vector<double> least;
    std::vector<size_t> row;
};
template <class Entry>
Minima column_minima(size_t rows, size_t columns, const Entry& entry) {
    Minima found{std::vector<double>(columns), std::vector<size_t>(columns)};
    const auto solve = [&](const auto& self, size_t begin, size_t end, size_t low, size_t high) -> void {
        if (begin >= end) return;
        const size_t middle = (begin + end) / 2;
        double least = std::numeric_limits<double>::infinity();
        size_t at = low;
        for (size_t row = low; row <= high; ++row)
            if (const double value = entry(row, middle); value < least) least = value, at = row;
        found.least[middle] = least, found.row[middle] = at;
        self(self, begin, middle, low, at);
        self(self, middle + 1, end, at, high);
    };
    solve(solve, 0, columns, 0, rows - 1);
    return found;
}

// The optimum. Row by row, dynamic programming over all n values would take k n log n costs; but nearly all places for
// a border can be ruled out first. Let border j lie in one of a few ranges of values. A cluster from a border in one
// range to a border in another costs at least what lies between the ranges costs, and the borders at the ranges'
// beginnings are one solution: dynamic programming over ranges bounds the optimum from both sides, and a range through
// which the lower bound exceeds the upper one holds no border of the optimum. What is left is divided more finely,
// until every range is one place.
class ExactBorders {
public:
    ExactBorders(const Line& line, int64_t clusters) : line_(line) {
        const int64_t n = line.size();
        for (int64_t j = 0; j <= clusters; ++j) {  // a cluster has a value at least
            const int64_t low = j == clusters ? n : j, high = j == 0 ? 0 : n - (clusters - j);
            left_.push_back({low, high});
        }
    }

    Borders solve() {
        for (size_t ranges = kRanges;; ranges *= 2) {
            divide(ranges);
            const std::vector<Minima> upper = forward([](const Range& from) { return from.low; });
            if (std::all_of(left_.begin(), left_.end(), [&](const Range& r) { return fits(r, ranges); }))
                return walk_back(upper);
            rule_out(upper.back().least[0]);
        }
    }

private:
    struct Range {
        int64_t low, high;  // of places for a border, both included
    };
    static constexpr size_t kRanges = 256;  // for each border at first
    static constexpr double kRounding = 1e-11;  // of sums, as a share of all squares

    static bool fits(const Range& r, size_t ranges) { return r.high - r.low < static_cast<int64_t>(ranges); }

    void divide(size_t ranges) {
        ranges_.clear();
        for (const Range& left : left_) {
            std::vector<Range>& parts = ranges_.emplace_back();
            const int64_t step = ceil_div(left.high - left.low + 1, static_cast<int64_t>(ranges));
            for (int64_t low = left.low; low <= left.high; low += step)
                parts.push_back({low, std::min(low + step - 1, left.high)});
        }
    }

    // The least cost of what lies before each range of each border; `end` says where in a range the cluster behind it
    // begins.
    template <class End>
    std::vector<Minima> forward(const End& end) const {
        std::vector<Minima> found{{{0}, {0}}};
        for (size_t j = 1; j < ranges_.size(); ++j)
            found.push_back(column_minima(ranges_[j - 1].size(), ranges_[j].size(), [&](size_t from, size_t to) {
                return found[j - 1].least[from] + line_.cost(end(ranges_[j - 1][from]), ranges_[j][to].low);
            }));
        return found;
    }

    void rule_out(double upper) {
        const std::vector<Minima> before = forward([](const Range& from) { return from.high; });
        const double limit = upper + kRounding * line_.spread();
        Minima behind{{0}, {0}};
        for (size_t j = ranges_.size() - 1; j-- > 0;) {
            behind = column_minima(ranges_[j + 1].size(), ranges_[j].size(), [&](size_t to, size_t from) {
                return behind.least[to] + line_.cost(ranges_[j][from].high, ranges_[j + 1][to].low);
            });
            const std::vector<Range>& parts = ranges_[j];
            const auto possible = [&](size_t i) { return before[j].least[i] + behind.least[i] <= limit; };
            size_t first = 0, last = parts.size() - 1;
            while (first < last && !possible(first)) ++first;
            while (last > first && !possible(last)) --last;
            left_[j] = {parts[first].low, parts[last].high};
        }
    }

    Borders walk_back(const std::vector<Minima>& found) const {
        Borders borders(ranges_.size());
        size_t at = 0;
        for (size_t j = ranges_.size(); j-- > 0; at = found[j].row[at]) borders[j] = ranges_[j][at].low;
        return borders;
    }

    const Line& line_;
    std::vector<Range> left_;                 // of each border
    std::vector<std::vector<Range>> ranges_;  // what is left, divided
};

std::vector<double> first_centroids(const Line& line, const KMeansOptions& o) {
    const int64_t n = line.size(), k = o.clusters;
    const double total = line.times_before(n), low = line.value(0), high = line.value(n - 1);
    Random random(o.seed);
    std::vector<double> found;
    if (o.init == KMeansInit::linear)
        for (int64_t j = 0; j < k; ++j)
            found.push_back(k == 1 ? (low + high) / 2
                                   : low + (high - low) * static_cast<double>(j) / static_cast<double>(k - 1));
    if (o.init == KMeansInit::density)
        for (int64_t j = 0; j < k; ++j)
            found.push_back(
                line.value(line.first_beyond(total * (static_cast<double>(j) + 0.5) / static_cast<double>(k))));
    if (o.init == KMeansInit::random) {
        std::set<int64_t> drawn;
        while (static_cast<int64_t>(drawn.size()) < k) drawn.insert(random.below(n));
        for (int64_t i : drawn) found.push_back(line.value(i));
    }
    if (o.init == KMeansInit::plus_plus) {
        std::vector<double> far(static_cast<size_t>(n), 1), upto(static_cast<size_t>(n));  // the first: by number alone
        while (static_cast<int64_t>(found.size()) < k) {
            double sum = 0;
            for (int64_t i = 0; i < n; ++i) {
                const auto at = static_cast<size_t>(i);
                sum += far[at] * (line.times_before(i + 1) - line.times_before(i));
                upto[at] = sum;
            }
            const auto place = std::upper_bound(upto.begin(), upto.end() - 1, sum * random.uniform()) - upto.begin();
            const double centre = line.value(place);
            for (int64_t i = 0; i < n; ++i) {
                const double distance = (line.value(i) - centre) * (line.value(i) - centre);
                double& least = far[static_cast<size_t>(i)];
                least = found.empty() ? distance : std::min(least, distance);
            }
            found.push_back(centre);
        }
        std::sort(found.begin(), found.end());
    }
    return found;
}

// Borders half way between centroids, centroids in the middle of their values, in turns until nothing moves.
Borders lloyd(const Line& line, std::vector<double> centroids, int64_t iterations) {
    Borders borders(centroids.size() + 1, 0);
    borders.back() = line.size();
    for (int64_t round = 0; round <= iterations; ++round) {
        Borders next = borders;
        for (size_t j = 1; j < centroids.size(); ++j)
            next[j] = line.first_from((centroids[j - 1] + centroids[j]) / 2);
        if (round > 0 && next == borders) break;
        borders = next;
        for (size_t j = 0; j < centroids.size(); ++j)  // an empty one waits where it is
            if (borders[j] < borders[j + 1]) centroids[j] = line.mean(borders[j], borders[j + 1]);
    }
    return borders;
}

std::vector<float> kept_values(const Tensor& values, const Tensor& keep) {
    check(!keep || keep.shape() == values.shape(), "k-means: expected a mask of shape ", values.shape(), ", got ",
          keep.shape());
    const float* x = values.data<float>();
    const uint8_t* kept = keep ? keep.data<uint8_t>() : nullptr;
    std::vector<float> found;
    found.reserve(static_cast<size_t>(values.numel()));
    for (int64_t i = 0; i < values.numel(); ++i) {
        if (kept && !kept[i]) continue;
        check(std::isfinite(x[i]), "k-means: expected finite values, got ", x[i]);
        found.push_back(x[i]);
    }
    return found;
}

}  // namespace

std::vector<std::string> kmeans_init_names() { return kInitNames.all(); }
KMeansInit kmeans_init_of(const std::string& name) { return kInitNames.value_of(name); }

size_t Clusters::of(float value) const {
    const auto next = std::upper_bound(begins.begin(), begins.end(), value);
    return next == begins.begin() ? 0 : static_cast<size_t>(next - begins.begin()) - 1;
}

Clusters kmeans(const Tensor& values, const KMeansOptions& o, const Tensor& keep) {
    check(o.clusters >= 1, "k-means: expected at least 1 cluster, got ", o.clusters);
    const Line line(kept_values(values, keep));
    Borders borders;
    if (line.size() <= o.clusters)
        for (int64_t i = 0; i <= line.size(); ++i) borders.push_back(i);
    else if (o.init == KMeansInit::exact) borders = ExactBorders(line, o.clusters).solve();
    else borders = lloyd(line, first_centroids(line, o), o.iterations);
    Clusters found;
    for (size_t j = 0; j + 1 < borders.size(); ++j) {
        if (borders[j] >= borders[j + 1]) continue;
        found.begins.push_back(line.value(borders[j]));
        found.centroids.push_back(line.mean(borders[j], borders[j + 1]));
        found.sse += line.cost(borders[j], borders[j + 1]);
    }
    return found;
}

}  // namespace lathe::compress
