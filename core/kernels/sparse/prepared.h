#pragma once
#include <algorithm>
#include <vector>

#include "lathe/core/kernels/sparse/filter.h"
#include "lathe/core/kernels/sparse/tiling.h"

namespace lathe::kernels::sparse {

// Sparse weights in chunks for the tiling that suits them best, and where the planes of a chunk hold what they meet.
struct PreparedWeights {
    const SparseTable& kernels;
    Tiling tiling;
    SparseFilter filter;

    // `moving` and `even` as best_tiling takes them. Errors: its own and SparseFilter's.
    PreparedWeights(const Conv2dShape& shape, const float* weight, SparsePattern pattern, double moving,
                    bool even = false);

    int64_t channels_of(int64_t chunk) const {
        return std::min(filter.chunk(), filter.in_per_group() - chunk * filter.chunk());
    }
    int64_t chunk_floats() const { return filter.chunk() * tiling.plane; }
    int64_t sum_floats(int64_t segments) const {
        return (filter.chunks() > 1 ? segments : 1) * SparseFilter::kSegment * tiling.vectors * tiling.lanes;
    }
    int64_t outputs(int64_t segment) const {
        return std::min(SparseFilter::kSegment, filter.out_c() / filter.groups() - segment * SparseFilter::kSegment);
    }

    // What the segments of a chunk have in common.
    SparseRows rows(int64_t chunk, const float* planes) const;

private:
    std::vector<int32_t> offsets(int64_t channels, int64_t step) const;

    std::vector<int32_t> groups_, last_groups_;  // offsets of N:M in a full chunk and in the last
};

int64_t nonzeros(const Conv2dShape& shape, const float* weight);

// Pixels of a 1x1 convolution are all alike: the shape with its map, or the maps of all its images, in one line.
Conv2dShape flattened(const Conv2dShape& shape);
Conv2dShape lined_up(const Conv2dShape& shape);

}  // namespace lathe::kernels::sparse
