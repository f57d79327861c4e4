#include "lathe/core/kernels/gemm/panels.h"

#include <algorithm>

#include "lathe/core/ceil_div.h"
#include "lathe/core/divmod.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels {

namespace {

constexpr int64_t kEntries = 256;  // IndexedPanel::codebook

int64_t panel_count(int64_t groups, int64_t n) { return groups * ceil_div(n, table().panel.columns); }

int64_t words_of(int64_t k, int bits) { return ceil_div(k * bits, 32) * table().panel.columns; }

// One column of a panel: index l has the bits from l * bits on.
void fill_column(const uint8_t* indices, int64_t k, int bits, int64_t columns, uint32_t* words) {
    for (int64_t l = 0; l < k; ++l) {
        const int64_t bit = l * bits, shift = bit % 32;
        uint32_t* word = words + bit / 32 * columns;
        word[0] |= uint32_t{indices[l]} << shift;
        if (shift + bits > 32) word[columns] |= uint32_t{indices[l]} >> (32 - shift);
    }
}

}  // namespace

const float* Panels::rows(const PanelTable& kernels, int64_t panel, int64_t first, int64_t count,
                          float* buffer) const {
    if (values) return values + panel * size + first * kernels.columns;
    IndexedPanel from = indexed;
    from.words += panel * size;
    from.scale += panel * kernels.columns;
    kernels.look_up(from, first, count, buffer);
    return buffer;
}

PanelWeights::PanelWeights(int64_t groups, int64_t k, int64_t n, const float* b, int64_t row, int64_t column)
    : count_(panel_count(groups, n)),
      size_(std::max<int64_t>(k, 1) * table().panel.columns),
      values_(static_cast<size_t>(count_ * size_)),
      words_(0),
      codebook_(0),
      scale_(0) {
    const PanelTable& kernels = table().panel;
    const int64_t each = groups ? count_ / groups : 0;
    parallel_for(count_, ceil_div(1 << 15, size_), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const auto [group, panel] = divmod(i, each);
            const int64_t first = panel * kernels.columns;
            kernels.pack(k, std::min<int64_t>(n - first, kernels.columns), b + (group * n + first) * column, row,
                         column, values_.data() + i * size_, size_);
        }
    });
}

PanelWeights::PanelWeights(int64_t groups, int64_t k, int64_t n, const IndexedWeight& weight)
    : count_(panel_count(groups, n)),
      size_(words_of(k, weight.bits)),
      bits_(weight.bits),
      values_(0),
      words_(static_cast<size_t>(count_ * size_)),
      codebook_(kEntries),
      scale_(static_cast<size_t>(count_ * table().panel.columns)) {
    const int64_t columns = table().panel.columns, each = groups ? count_ / groups : 0;
    for (int64_t i = 0; i < kEntries; ++i) codebook_[i] = weight.codebook[i % (int64_t{1} << bits_)];
    std::fill_n(words_.data(), count_ * size_, 0u);
    std::fill_n(scale_.data(), count_ * columns, 0.0f);
    parallel_for(groups * n, ceil_div(1 << 15, std::max<int64_t>(k, 1)), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const auto [group, column] = divmod(i, n);
            const int64_t place = group * each * columns + column;
            fill_column(weight.indices + i * k, k, bits_, columns,
                        words_.data() + place / columns * size_ + place % columns);
            scale_[place] = weight.scale ? weight.scale[i] : 1.0f;
        }
    });
}

Panels PanelWeights::panels() const {
    return {values_.data(), size_, {bits_, table().panel.columns, words_.data(), codebook_.data(), scale_.data()}};
}

int64_t PanelWeights::bytes() const {
    const int64_t own = count_ * size_ * 4;
    return bits_ ? own + (kEntries + count_ * table().panel.columns) * 4 : own;
}

std::string PanelWeights::name(const std::string& algorithm) const {
    return bits_ ? algorithm + " " + std::to_string(bits_) + "-bit" : algorithm;
}

}  // namespace lathe::kernels
