#pragma once
#include <cstdint>
#include <vector>

#include "lathe/core/kernels/dispatch/sparse_table.h"
#include "lathe/core/kernels/sparse/pattern.h"

namespace lathe::kernels {

// The weights of a convolution or, with one tap, of a linear layer that are not zero, in the order that the sparse
// kernels read them: a chunk of input channels, 16 output channels, one of these. A weight takes 4 bytes and its index
// 4 (unstructured), 1 (blocks) or 1/4 (N:M).
class SparseFilter {
public:
    // weight: [out_c, taps, in_per_group], taps = R * S. Any weights may be held as blocks: a block with one weight
    // other than zero is kept whole. chunk: input channels taken at a time, a multiple of 4. Errors: N:M or 1x4 with
    // in_per_group not divisible by 4, more than N weights of 4 to keep, chunk * taps beyond 65535.
    SparseFilter(SparsePattern pattern, int64_t out_c, int64_t taps, int64_t in_per_group, int64_t groups,
                 const float* weight, int64_t chunk);

    SparsePattern pattern() const { return pattern_; }
    int64_t out_c() const { return out_c_; }
    int64_t taps() const { return taps_; }
    int64_t in_per_group() const { return in_per_group_; }
    int64_t groups() const { return groups_; }
    int64_t nonzeros() const { return nonzeros_; }  // weights other than zero
    int64_t stored() const { return static_cast<int64_t>(values_.size()); }  // those and the zeros within their blocks
    int64_t bytes() const;

    // What the kernels read; a segment is kSegment rows of a group. Weights know their channel in the chunk and their
    // tap as `tap * chunk + channel` until place() says which offset each of those has in the planes; N:M has none to
    // say.
    static constexpr int64_t kSegment = 16;
    int64_t chunk() const { return chunk_; }                  // input channels in one chunk; the last may have fewer
    int64_t chunks() const { return chunks_; }                // in one group
    int64_t segments() const { return segments_; }            // in one group
    int64_t row_height() const { return pattern_ == SparsePattern::column_blocks ? 4 : 1; }  // outputs in a row block
    void read(int64_t group, int64_t chunk, int64_t segment, SparseRows& to) const;  // sets what holds weights
    void place(const std::vector<int32_t>& offsets);

private:
    // The weights of a segment in a chunk: [rows, taps, channels] within [out_c, taps, in_per_group].
    struct Part {
        const float* weight;
        int64_t output, rows, channels;  // output: the first channel
    };
    float at(const Part& part, int64_t row, int64_t tap, int64_t c) const;  // 0 beyond the rows
    void add_blocks(const Part& part, int64_t height, int64_t width);
    void add_n_of_four(const Part& part, int64_t kept);

    SparsePattern pattern_;
    int64_t out_c_, taps_, in_per_group_, groups_, chunk_, chunks_, segments_, nonzeros_ = 0;
    std::vector<float> values_;
    std::vector<int32_t> offsets_;
    std::vector<uint16_t> counts_;
    std::vector<uint8_t> positions_;
    std::vector<uint32_t> starts_;  // of every part in offsets_ or positions_
};

}  // namespace lathe::kernels
