#include "lathe/core/kernels/sparse/chwn.h"

#include <algorithm>

#include "lathe/core/ceil_div.h"
#include "lathe/core/divmod.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/core/kernels/sparse/prepared.h"
#include "lathe/core/kernels/sparse/speed.h"
#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels::chwn {
namespace {

using sparse::PreparedWeights;

constexpr int64_t kTasks = 4;
constexpr int64_t kPixels = 64;  // converted at a time: their channels are read side by side and written far apart

Conv2dShape batched(const Conv2dShape& g, bool pool = false) {
    Conv2dShape shape = pool ? g : sparse::flattened(g);
    shape.batch = images();
    return shape;
}

// Any weights are unstructured ones, too.
SparsePattern pattern_for(SparsePattern pattern, bool pool) {
    return pool && !sparse::has_even_tile(pattern) ? SparsePattern::unstructured : pattern;
}

class ChwnConv2d final : public PreparedConv2d {
public:
    ChwnConv2d(const Conv2dShape& g, const float* weight, SparsePattern pattern, bool pool)
        : pool_(pool),
          weights_(batched(g, pool), weight, pattern_for(pattern, pool), sparse::speed().sparse.copy, pool) {
        const Conv2dShape& s = weights_.tiling.shape;
        for (int64_t row = 0; row < s.out_h; row += weights_.tiling.tile.height)
            for (int64_t column = 0; column < s.out_w; column += weights_.tiling.tile.width)
                for (int64_t i : weights_.tiling.h.input)
                    for (int64_t j : weights_.tiling.w.input) {
                        const int64_t y = row * s.stride_h - s.pad_top + i, x = column * s.stride_w - s.pad_left + j;
                        const bool inside = y >= 0 && y < s.in_h && x >= 0 && x < s.in_w;
                        positions_.push_back(inside ? static_cast<int32_t>((y * s.in_w + x) * images()) : -1);
                    }
    }

    // A task takes a tile and some of the output channels. Tasks of the same tile each copy its planes.
    void forward(int64_t, const float* x, const Epilogue& epilogue, float* y) const override {
        const int64_t tiles = weights_.tiling.batches, segments = weights_.filter.segments();
        const int64_t parts = std::min(segments, ceil_div(kTasks, tiles));
        parallel_tasks(tiles * parts, [&](int64_t task) {
            const auto [tile, part] = divmod(task, parts);
            const int64_t first = segments * part / parts;
            multiply(tile, first, segments * (part + 1) / parts - first, x, epilogue, y);
        });
    }
    int64_t bytes() const override { return weights_.filter.bytes(); }
    std::string name() const override { return std::string("sparse ") + name_of(weights_.filter.pattern()) + " chwn"; }
    bool skips_zeros() const override { return true; }

private:
    void multiply(int64_t tile, int64_t first, int64_t segments, const float* x, const Epilogue& epilogue,
                  float* y) const {
        const sparse::Tiling& tiling = weights_.tiling;
        const SparseFilter& filter = weights_.filter;
        const Conv2dShape& g = tiling.shape;
        const int64_t step = pool_ ? 2 : 1, lanes = images(), in_map = g.in_h * g.in_w * lanes;
        const int64_t out_line = g.out_w / step * lanes, out_map = g.out_h / step * out_line;
        const int64_t row = divmod(tile, tiling.across).quotient * tiling.tile.height;
        const int64_t column = divmod(tile, tiling.across).remainder * tiling.tile.width;
        const SparseTable::Rows kernel = sparse::kernel_of(weights_.kernels, tiling.tile, filter.pattern());
        const auto reached = [&](int64_t size, int64_t from, int64_t extent) {
            return std::min(size, extent - from) / step;
        };
        SparseResults results{.y = nullptr, .map = out_map, .line = out_line, .outputs = 0,
                              .height = reached(tiling.tile.height, row, g.out_h),
                              .width = reached(tiling.tile.width, column, g.out_w), .epilogue = epilogue};
        Workspace<float> planes(static_cast<size_t>(weights_.chunk_floats()));
        Workspace<float> sums(static_cast<size_t>(weights_.sum_floats(segments)));
        for (int64_t group = 0; group < filter.groups(); ++group)
            for (int64_t chunk = 0; chunk < filter.chunks(); ++chunk) {
                const int64_t channel = group * filter.in_per_group() + chunk * filter.chunk();
                const bool last = chunk + 1 == filter.chunks();  // then comes the first chunk of the tile to the right
                const int64_t chunk_maps = filter.chunk() * in_map;
                const int64_t ahead = last ? tiling.tile.width * g.stride_w * lanes - chunk * chunk_maps : chunk_maps;
                weights_.kernels.copy(weights_.channels_of(chunk), tiling.positions,
                                      positions_.data() + tile * tiling.positions, x + channel * in_map, in_map,
                                      ahead, tiling.plane, planes.data());
                SparseRows rows = weights_.rows(chunk, planes.data());
                for (int64_t segment = first; segment < first + segments; ++segment) {
                    filter.read(group, chunk, segment, rows);
                    rows.sums = sums.data() + (filter.chunks() > 1 ? segment - first : 0) * weights_.sum_floats(1);
                    if (last) {
                        const int64_t k = group * (filter.out_c() / filter.groups()) + segment * SparseFilter::kSegment;
                        results.y = y + k * out_map + row / step * out_line + column / step * lanes;
                        results.outputs = weights_.outputs(segment);
                        if (epilogue.bias) results.epilogue.bias = epilogue.bias + k;
                        if (!pool_) rows.results = &results;
                    }
                    kernel(rows);
                    if (pool_ && last)
                        weights_.kernels.pool(tiling.tile.height, tiling.tile.width, rows.sums, results);
                }
            }
    }

    bool pool_;
    PreparedWeights weights_;
    std::vector<int32_t> positions_;  // [tiles, positions]: where a channel's map holds them; -1 outside
};

class ChwnDepthwiseConv2d final : public PreparedConv2d {
public:
    ChwnDepthwiseConv2d(const Conv2dShape& g, const float* weight) : g_(g), weight_(weight, weight + g.in_c * 9) {}

    static bool suits(const Conv2dShape& g) {
        return g.depthwise() && g.kernel_h == 3 && g.kernel_w == 3 && g.dilation_h == 1 && g.dilation_w == 1 &&
               g.stride_h == g.stride_w && g.stride_w <= 2;
    }

    void forward(int64_t, const float* x, const Epilogue& epilogue, float* y) const override {
        const std::vector<float> zeros(static_cast<size_t>(g_.in_w * images()));
        parallel_for(g_.in_c, std::max<int64_t>(1, 4096 / (g_.out_h * g_.out_w)), [&](int64_t begin, int64_t end) {
            table().depthwise.correlate_maps_3x3(
                {.channels = end - begin, .in_h = g_.in_h, .in_w = g_.in_w, .out_h = g_.out_h, .out_w = g_.out_w,
                 .first_row = -g_.pad_top, .first = -g_.pad_left, .step = g_.stride_w,
                 .x = x + begin * g_.in_h * g_.in_w * images(), .zeros = zeros.data(),
                 .weight = weight_.data() + begin * 9, .bias = epilogue.bias ? epilogue.bias + begin : nullptr,
                 .y = y + begin * g_.out_h * g_.out_w * images(),
                 .accumulate = epilogue.accumulate, .low = epilogue.low, .high = epilogue.high});
        });
    }
    int64_t bytes() const override { return static_cast<int64_t>(weight_.size() * sizeof(float)); }
    std::string name() const override { return "depthwise chwn"; }

private:
    Conv2dShape g_;
    std::vector<float> weight_;  // [C, 3, 3]
};

}  // namespace

int64_t images() { return table().sparse.lanes; }

void enter(int64_t pixels, int64_t channels, const float* x, float* y) {
    const int64_t lanes = images();
    parallel_for(pixels, kPixels, [&](int64_t begin, int64_t end) {
        Workspace<const float*> from(static_cast<size_t>((end - begin) * lanes));
        for (int64_t p = begin; p < end; ++p)
            for (int64_t n = 0; n < lanes; ++n)
                from[static_cast<size_t>((p - begin) * lanes + n)] = x + (n * pixels + p) * channels;
        table().sparse.enter(channels, end - begin, from.data(), 0, pixels * lanes, y + begin * lanes);
    });
}

void leave(int64_t pixels, int64_t channels, const float* x, float* y) {
    const int64_t lanes = images();
    parallel_for(pixels, kPixels, [&](int64_t begin, int64_t end) {
        Workspace<float*> to(static_cast<size_t>((end - begin) * lanes));
        for (int64_t p = begin; p < end; ++p)
            for (int64_t n = 0; n < lanes; ++n)
                to[static_cast<size_t>((p - begin) * lanes + n)] = y + (n * pixels + p) * channels;
        table().sparse.leave(channels, end - begin, x + begin * lanes, pixels * lanes, {}, 0, to.data(), false);
    });
}

std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight, SparsePattern pattern,
                                        bool pool) {
    if (!pool && ChwnDepthwiseConv2d::suits(shape)) return std::make_unique<ChwnDepthwiseConv2d>(shape, weight);
    return std::make_unique<ChwnConv2d>(shape, weight, pattern, pool);
}

double cycles(const Conv2dShape& g, const float* weight, SparsePattern pattern) {
    if (ChwnDepthwiseConv2d::suits(g)) return sparse::speed().dense_cycles(batched(g));
    const int64_t count = sparse::nonzeros(g, weight);
    const sparse::SparseCosts& cost = sparse::speed().sparse;
    return sparse::best_tiling(batched(g), pattern, count, cost.copy).cycles(cost, pattern, count, cost.copy);
}

}  // namespace lathe::kernels::chwn
