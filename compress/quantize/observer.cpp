#include "lathe/compress/quantize/observer.h"

#include <algorithm>
#include <cmath>

#include "lathe/core/enum_names.h"

namespace lathe::compress {

namespace {

constexpr EnumNames<Observer, 6> kObserverNames{"observer",
                                        {{Observer::min_max, "min-max"},
                                         {Observer::moving_average, "moving-average"},
                                         {Observer::percentile, "percentile"},
                                         {Observer::entropy, "entropy"},
                                         {Observer::mse, "mse"},
                                         {Observer::automatic, "auto"}}};

// A grid in double precision.
struct Levels {
    double scale, zero, low, high;

    Levels(const Range& range, int bits) {
        const IntegerRange integers = integer_range(bits, true);
        const auto [step, zero_point] = asymmetric_scale(range, bits);
        low = static_cast<double>(integers.low), high = static_cast<double>(integers.high);
        scale = step, zero = static_cast<double>(zero_point);
    }
    double level(double x) const { return std::nearbyint(x / scale) + zero; }
    double value(double level) const { return scale * (std::clamp(level, low, high) - zero); }
};

// The range within a full one that costs least: both ends drawn in alike, then either end alone, in hundredths.
template <class Cost>
Range cheapest(const Range& full, Cost cost) {
    constexpr int kSteps = 100;
    Range best = full;
    double least = cost(full);
    const auto attempt = [&](const Range& range) {
        if (const double c = cost(range); c < least) least = c, best = range;
    };
    const auto share = [](int step) { return 1 - static_cast<double>(step) / kSteps; };
    for (int k = 1; k < kSteps; ++k) attempt({full.low * share(k), full.high * share(k)});
    for (int k = 0; k < kSteps && full.low < 0; ++k) attempt({full.low * share(k), best.high});
    for (int k = 0; k < kSteps && full.high > 0; ++k) attempt({best.low, full.high * share(k)});
    return best;
}

}  // namespace

const char* name_of(Observer observer) { return kObserverNames[observer]; }
Observer observer_of(const std::string& name) { return kObserverNames.value_of(name); }

std::vector<std::string> observer_names() { return kObserverNames.all(); }

const std::vector<Observer>& plain_observers() {
    static const std::vector<Observer> all{Observer::min_max, Observer::moving_average, Observer::percentile,
                                           Observer::entropy, Observer::mse};
    return all;
}

void Observed::see_ends(const Tensor& x) {
    constexpr double kNew = 0.1;
    if (x.numel() == 0) return;
    const Range batch = range_of(x);
    if (!seen_) low_ = moving_low_ = batch.low, high_ = moving_high_ = batch.high;
    seen_ = true;
    low_ = std::min(low_, batch.low);
    high_ = std::max(high_, batch.high);
    moving_low_ += kNew * (batch.low - moving_low_);
    moving_high_ += kNew * (batch.high - moving_high_);
}

void Observed::see_values(const Tensor& x) {
    bins_.resize(kBins);
    const float* values = x.data<float>();
    const double per_value = high_ > low_ ? kBins / (high_ - low_) : 0;
    count_ += x.numel();
    for (int64_t i = 0; i < x.numel(); ++i) {
        if (values[i] == 0) ++zeros_;
        else ++bins_[static_cast<size_t>(std::clamp(static_cast<int>((values[i] - low_) * per_value), 0, kBins - 1))];
    }
}

Range Observed::range(Observer observer, int bits) const {
    check(seen_, "calibration: expected at least one image");
    const Range full = ends().with_zero();
    switch (observer) {
        case Observer::min_max: return full;
        case Observer::moving_average: return Range{moving_low_, moving_high_}.with_zero();
        case Observer::percentile: return inner_range().with_zero();
        case Observer::entropy: return cheapest(full, [&](const Range& range) { return divergence(range, bits); });
        case Observer::mse:
            return cheapest(full, [&](const Range& range) { return error(range, bits).noise(); });
        case Observer::automatic: break;
    }
    fail("calibration: expected an observer that looks at one place alone, got ", name_of(observer));
}

// Without the outermost values at either end.
Range Observed::inner_range() const {
    constexpr double kOutside = 5e-5;  // of all values, at each end
    const auto most = static_cast<int64_t>(kOutside * static_cast<double>(count_));
    const auto bin_of_zero = std::clamp(width() > 0 ? static_cast<int>(-low_ / width()) : 0, 0, kBins - 1);
    const auto count = [&](int bin) { return bins_[static_cast<size_t>(bin)] + (bin == bin_of_zero ? zeros_ : 0); };
    int first = 0, last = kBins - 1;
    for (int64_t left = count(first); left <= most && first < last; left += count(first)) ++first;
    for (int64_t right = count(last); right <= most && first < last; right += count(last)) --last;
    return {low_ + first * width(), low_ + (last + 1) * width()};
}

Observed::Error Observed::error(const Range& range, int bits) const {
    const Levels levels(range, bits);
    Error sum;
    for (int bin = 0; bin < kBins && count_ > 0; ++bin) {
        const auto n = static_cast<double>(bins_[static_cast<size_t>(bin)]);
        if (n == 0) continue;
        const double x = center(bin), level = levels.level(x), error = levels.value(level) - x;
        sum.signal += n * x * x / static_cast<double>(count_);
        const bool inside = level >= levels.low && level <= levels.high;
        (inside ? sum.rounding : sum.clipping) += n * error * error / static_cast<double>(count_);
    }
    return sum;
}

double Observed::Error::snr() const { return decibels(signal, noise()); }

// How much is lost when the histogram, its ends clipped into the range, is told only how many values each level has:
// the sum of p log(p / q) where q spreads a level's values evenly over those of its bins that have any.
double Observed::divergence(const Range& range, int bits) const {
    constexpr double kNone = 1e-9;  // of q where only what was clipped lies
    const Levels levels(range, bits);
    std::vector<double> p(kBins), of_level(size_t{1} << bits), filled(size_t{1} << bits);
    const auto bin_of = [&](double x) {
        return std::clamp(width() > 0 ? static_cast<int>((x - low_) / width()) : 0, 0, kBins - 1);
    };
    const int first = bin_of(range.low), last = bin_of(range.high);
    const auto level_of = [&](int bin) {
        return static_cast<size_t>(std::clamp(levels.level(center(bin)), levels.low, levels.high) - levels.low);
    };
    double total = 0;
    for (int bin = 0; bin < kBins; ++bin) {
        const auto n = static_cast<double>(bins_.empty() ? 0 : bins_[static_cast<size_t>(bin)]);
        p[static_cast<size_t>(std::clamp(bin, first, last))] += n;
        total += n;
        if (n == 0 || bin < first || bin > last) continue;
        of_level[level_of(bin)] += n;
        filled[level_of(bin)] += 1;
    }
    double sum = 0;
    for (int bin = first; bin <= last && total > 0; ++bin) {
        const double share = p[static_cast<size_t>(bin)] / total;
        if (share == 0) continue;
        const size_t level = level_of(bin);
        const double q = bins_[static_cast<size_t>(bin)] ? of_level[level] / filled[level] / total : kNone;
        sum += share * std::log(share / q);
    }
    return sum;
}

}  // namespace lathe::compress
