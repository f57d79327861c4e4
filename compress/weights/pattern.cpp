#include "lathe/compress/weights/pattern.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace lathe::compress {

namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

int64_t columns_of(const Tensor& weight) { return weight.rank() ? weight.dim(-1) : 1; }

// Calls f(unit, element) with the flat index of every element and of the unit that it belongs to; returns how many
// units there are. The rows of a block are `stride` elements apart: one output channel.
template <class F>
int64_t for_units(const Tensor& weight, const Pattern& pattern, F f) {
    const int64_t count = weight.numel();
    if (pattern.kind != Pattern::block || count == 0) {
        for (int64_t i = 0; i < count; ++i) f(i, i);
        return count;
    }
    const int64_t rows = weight.dim(0), columns = columns_of(weight), stride = count / rows, taps = stride / columns;
    const int64_t across = (columns + pattern.m - 1) / pattern.m;
    for (int64_t row = 0; row < rows; ++row)
        for (int64_t tap = 0; tap < taps; ++tap)
            for (int64_t column = 0; column < columns; ++column)
                f((row / pattern.n * taps + tap) * across + column / pattern.m, row * stride + tap * columns + column);
    return (rows + pattern.n - 1) / pattern.n * taps * across;
}

// The mean importance of every unit, over the members that may be kept at all; -infinity when there are none. Members
// that may not count as 0.
std::vector<float> unit_importances(const Tensor& importance, const Pattern& pattern) {
    const float* from = importance.data<float>();
    const bool numbers = std::none_of(from, from + importance.numel(), [](float value) { return std::isnan(value); });
    check(numbers, "mask: expected importances that are numbers, got NaN");
    if (pattern.kind != Pattern::block) return {from, from + importance.numel()};
    std::vector<double> sum;
    std::vector<int64_t> members, kept;
    for_units(importance, pattern, [&](int64_t unit, int64_t i) {
        const auto at = static_cast<size_t>(unit);
        if (at >= sum.size()) sum.resize(at + 1), members.resize(at + 1), kept.resize(at + 1);
        ++members[at];
        if (from[i] == kNever) return;
        ++kept[at];
        sum[at] += static_cast<double>(from[i]);
    });
    std::vector<float> means(sum.size(), kNever);
    for (size_t i = 0; i < sum.size(); ++i)
        if (kept[i]) means[i] = static_cast<float>(sum[i] / static_cast<double>(members[i]));
    return means;
}

// Which units are kept, 1 or 0, over all tensors together.
std::vector<uint8_t> keep_units(const std::vector<float>& importance, double sparsity, Ties ties) {
    const auto count = static_cast<int64_t>(importance.size());
    const int64_t zeros = zeros_of(count, sparsity);
    std::vector<uint8_t> keep(importance.size(), 1);
    if (zeros == 0) return keep;
    std::vector<float> sorted = importance;
    std::nth_element(sorted.begin(), sorted.begin() + (zeros - 1), sorted.end());
    const float threshold = sorted[static_cast<size_t>(zeros - 1)];
    int64_t equal = ties == Ties::prune_all ? count
                                            : zeros - std::count_if(importance.begin(), importance.end(),
                                                                    [&](float v) { return v < threshold; });
    for (size_t i = 0; i < importance.size(); ++i)
        if (importance[i] < threshold || (importance[i] == threshold && equal-- > 0)) keep[i] = 0;
    return keep;
}

Tensor n_of_m_mask(const Tensor& importance, int64_t kept, int64_t m) {
    check(columns_of(importance) % m == 0, "expected input channels that ", m, " divides, got ",
          columns_of(importance));
    Tensor mask = Tensor::zeros(importance.shape(), DType::u8);
    const float* from = importance.data<float>();
    uint8_t* to = mask.mutable_data<uint8_t>();
    std::vector<int64_t> order(static_cast<size_t>(m));
    for (int64_t begin = 0; begin < importance.numel(); begin += m) {
        std::iota(order.begin(), order.end(), begin);
        std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return from[a] > from[b]; });
        for (int64_t i = 0; i < kept; ++i) to[order[static_cast<size_t>(i)]] = 1;
    }
    return mask;
}

}  // namespace

int64_t zeros_of(int64_t count, double sparsity) {
    check(sparsity >= 0 && sparsity <= 1, "mask: expected a sparsity in [0, 1], got ", sparsity);
    return static_cast<int64_t>(std::nearbyint(static_cast<double>(count) * sparsity));
}

std::vector<Tensor> make_masks(const std::vector<Tensor>& importances, double sparsity, const Pattern& pattern,
                               Ties ties) {
    std::vector<float> units;
    for (const Tensor& importance : importances) {
        const std::vector<float> more = unit_importances(importance, pattern);
        units.insert(units.end(), more.begin(), more.end());
    }
    std::vector<uint8_t> keep;
    if (pattern.kind != Pattern::n_of_m) keep = keep_units(units, sparsity, ties);

    std::vector<Tensor> masks;
    size_t first = 0;  // of the tensor's units
    for (const Tensor& importance : importances) {
        Tensor mask(importance.shape(), DType::u8);
        if (pattern.kind == Pattern::n_of_m) {
            mask = n_of_m_mask(importance, pattern.m - zeros_of(pattern.m, sparsity), pattern.m);
        } else {
            uint8_t* to = mask.mutable_data<uint8_t>();
            first += static_cast<size_t>(for_units(importance, pattern, [&](int64_t unit, int64_t i) {
                to[i] = keep[first + static_cast<size_t>(unit)];
            }));
        }
        const float* from = importance.data<float>();
        uint8_t* to = mask.mutable_data<uint8_t>();
        for (int64_t i = 0; i < mask.numel(); ++i)
            if (from[i] == kNever) to[i] = 0;
        masks.push_back(std::move(mask));
    }
    return masks;
}

Tensor make_mask(const Tensor& importance, double sparsity, const Pattern& pattern, Ties ties) {
    return make_masks({importance}, sparsity, pattern, ties).front();
}

}  // namespace lathe::compress
