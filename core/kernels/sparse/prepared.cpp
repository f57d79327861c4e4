#include "lathe/core/kernels/sparse/prepared.h"

#include <algorithm>

namespace lathe::kernels::sparse {

PreparedWeights::PreparedWeights(const Conv2dShape& g, const float* weight, SparsePattern pattern, double moving,
                                 bool even)
    : kernels(table().sparse),
      tiling(best_tiling(g, pattern, nonzeros(g, weight), moving, even)),
      filter(pattern, g.out_c, g.kernel_h * g.kernel_w, g.in_c / g.groups, g.groups, weight, tiling.chunk) {
    if (pattern == SparsePattern::one_of_four || pattern == SparsePattern::two_of_four) {
        groups_ = offsets(filter.chunk(), 4);
        last_groups_ = offsets(channels_of(filter.chunks() - 1), 4);
    } else {
        filter.place(offsets(filter.chunk(), 1));
    }
}

// Where the planes of `channels` channels hold what tap meets channel 0, step, 2 step, … [taps, channels / step].
std::vector<int32_t> PreparedWeights::offsets(int64_t channels, int64_t step) const {
    std::vector<int32_t> result;
    for (int64_t h : tiling.h.tap)
        for (int64_t w : tiling.w.tap)
            for (int64_t c = 0; c < channels; c += step)
                result.push_back(
                    static_cast<int32_t>(c * tiling.plane + (h * tiling.w.size() + w) * tiling.lanes));
    if (step > 1) result.resize(result.size() + 4);  // a row of N:M may end in the middle of a byte
    return result;
}

SparseRows PreparedWeights::rows(int64_t chunk, const float* planes) const {
    SparseRows rows{};
    rows.offsets = (chunk + 1 == filter.chunks() ? last_groups_ : groups_).data();
    rows.groups = filter.taps() * channels_of(chunk) / 4;
    rows.planes = planes;
    rows.plane = tiling.plane;
    rows.line = tiling.w.size() * tiling.lanes;
    rows.accumulate = chunk > 0;
    return rows;
}

int64_t nonzeros(const Conv2dShape& g, const float* weight) {
    const int64_t count = g.out_c * g.kernel_h * g.kernel_w * (g.in_c / g.groups);
    return count - std::count(weight, weight + count, 0.0f);
}

Conv2dShape flattened(const Conv2dShape& g) {
    Conv2dShape shape = g;
    if (g.pointwise()) shape.in_w = shape.out_w = g.out_h * g.out_w, shape.in_h = shape.out_h = 1;
    return shape;
}

Conv2dShape lined_up(const Conv2dShape& g) {
    Conv2dShape shape = flattened(g);
    if (g.pointwise()) shape.in_w = shape.out_w = g.batch * shape.out_w, shape.batch = 1;
    return shape;
}

}  // namespace lathe::kernels::sparse
