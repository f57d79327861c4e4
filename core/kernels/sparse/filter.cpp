#include "lathe/core/kernels/sparse/filter.h"

#include <algorithm>

#include "lathe/core/ceil_div.h"
#include "lathe/core/error.h"

namespace lathe::kernels {
namespace {

// How many of 4 channels an N:M pattern keeps, else 0.
int64_t kept_of_four(SparsePattern pattern) {
    return pattern == SparsePattern::one_of_four ? 1 : pattern == SparsePattern::two_of_four ? 2 : 0;
}

}  // namespace

const char* name_of(SparsePattern pattern) {
    switch (pattern) {
        case SparsePattern::unstructured: return "unstructured";
        case SparsePattern::one_of_four: return "1:4";
        case SparsePattern::two_of_four: return "2:4";
        case SparsePattern::row_blocks: return "1x4";
        case SparsePattern::column_blocks: return "4x1";
    }
    return "?";
}

SparseFilter::SparseFilter(SparsePattern pattern, int64_t out_c, int64_t taps, int64_t in_per_group, int64_t groups,
                           const float* weight, int64_t chunk)
    : pattern_(pattern), out_c_(out_c), taps_(taps), in_per_group_(in_per_group), groups_(groups), chunk_(chunk) {
    const int64_t kept = kept_of_four(pattern), height = row_height();
    const int64_t width = pattern == SparsePattern::row_blocks ? 4 : 1;
    check(groups >= 1 && out_c % groups == 0, "sparse filter: expected output channels in ", groups, " groups, got ",
          out_c);
    check(chunk * taps <= UINT16_MAX, "sparse filter: expected at most ", UINT16_MAX, " weights a row and chunk, got ",
          chunk * taps);
    check(in_per_group % 4 == 0 || (!kept && width == 1), "sparse filter: ", name_of(pattern),
          " expected input channels (per group) divisible by 4, got ", in_per_group);
    const int64_t count = out_c * taps * in_per_group;
    nonzeros_ = count - std::count(weight, weight + count, 0.0f);
    const int64_t out_group = out_c / groups;
    chunks_ = ceil_div(in_per_group, chunk_);
    segments_ = ceil_div(out_group, kSegment);

    for (int64_t group = 0; group < groups_; ++group)
        for (int64_t chunk = 0; chunk < chunks_; ++chunk)
            for (int64_t segment = 0; segment < segments_; ++segment) {
                const int64_t first = chunk * chunk_, row = segment * kSegment, output = group * out_group + row;
                const Part part{.weight = weight + output * taps * in_per_group + first,
                                .output = output,
                                .rows = std::min(kSegment, out_group - row),
                                .channels = std::min(chunk_, in_per_group - first)};
                starts_.push_back(static_cast<uint32_t>(kept ? positions_.size() : offsets_.size()));
                kept ? add_n_of_four(part, kept) : add_blocks(part, height, width);
            }
    check(values_.size() <= UINT32_MAX, "sparse filter: too many weights: ", values_.size());
    if (kept) positions_.push_back(0);  // kernels look ahead
    else offsets_.resize(offsets_.size() + 2);
}

float SparseFilter::at(const Part& part, int64_t row, int64_t tap, int64_t c) const {
    return row < part.rows ? part.weight[(row * taps_ + tap) * in_per_group_ + c] : 0.0f;
}

// Blocks of height x width weights, of which one is not zero; 1x1 without a pattern.
void SparseFilter::add_blocks(const Part& part, int64_t height, int64_t width) {
    for (int64_t row = 0; row < kSegment; row += height) {
        const size_t before = offsets_.size();
        for (int64_t tap = 0; tap < taps_ && row < part.rows; ++tap)
            for (int64_t c = 0; c < part.channels; c += width) {
                float block[4] = {};  // a column of rows or a row of channels
                for (int64_t i = 0; i < height * width; ++i) block[i] = at(part, row + i % height, tap, c + i / height);
                if (std::all_of(block, block + 4, [](float w) { return w == 0; })) continue;
                offsets_.push_back(static_cast<int32_t>(tap * chunk_ + c));
                values_.insert(values_.end(), block, block + height * width);
            }
        counts_.push_back(static_cast<uint16_t>(offsets_.size() - before));
    }
}

// `kept` weights of every 4 channels, zeros among them where there are fewer, and their positions, 2 bits each, 4 a
// byte.
void SparseFilter::add_n_of_four(const Part& part, int64_t kept) {
    for (int64_t row = 0; row < part.rows; ++row) {
        int64_t stored = 0;
        const auto store = [&](float value, int64_t position) {
            if (stored % 4 == 0) positions_.push_back(0);
            positions_.back() = static_cast<uint8_t>(positions_.back() | position << stored % 4 * 2);
            values_.push_back(value);
            ++stored;
        };
        for (int64_t tap = 0; tap < taps_; ++tap)
            for (int64_t c = 0; c < part.channels; c += 4) {
                int64_t found = 0;
                for (int64_t i = 0; i < 4; ++i)
                    if (const float value = at(part, row, tap, c + i); value != 0) {
                        check(++found <= kept, "sparse filter: ", name_of(pattern_), " expected at most ", kept,
                              " weights of 4 other than zero, got more in output channel ", part.output + row);
                        store(value, i);
                    }
                for (; found < kept; ++found) store(0, 0);
            }
        while (stored % 4 != 0) store(0, 0);
    }
}

void SparseFilter::read(int64_t group, int64_t chunk, int64_t segment, SparseRows& to) const {
    const int64_t part = (group * chunks_ + chunk) * segments_ + segment, start = starts_[static_cast<size_t>(part)];
    const int64_t rows = std::min(kSegment, out_c_ / groups_ - segment * kSegment), height = row_height();
    to.rows = ceil_div(rows, height);
    to.values = values_.data() + start * (pattern_ == SparsePattern::unstructured ? 1 : 4);
    if (kept_of_four(pattern_)) {
        to.positions = positions_.data() + start;
    } else {
        to.offsets = offsets_.data() + start;
        to.counts = counts_.data() + part * (kSegment / height);
    }
}

void SparseFilter::place(const std::vector<int32_t>& offsets) {
    for (int32_t& offset : offsets_) offset = offsets[static_cast<size_t>(offset)];
}

int64_t SparseFilter::bytes() const {
    return static_cast<int64_t>((values_.size() + offsets_.size() + starts_.size()) * 4 + counts_.size() * 2 +
                                positions_.size());
}

}  // namespace lathe::kernels
