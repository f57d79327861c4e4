#include "lathe/core/kernels/sparse/tiling.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "lathe/core/ceil_div.h"
#include "lathe/core/divmod.h"
#include "lathe/core/error.h"

namespace lathe::kernels::sparse {
namespace {

bool one_line(const Conv2dShape& g) {
    return g.batch == 1 && g.in_h == 1 && g.out_h == 1 && g.out_w == g.in_w && g.kernel_h == 1 && g.kernel_w == 1 &&
           g.stride_w == 1 && g.pad_top == 0 && g.pad_left == 0;
}

// Calls body(lane, n, row, column of the tile's first result) for the tiles of a batch.
template <class Body>
void for_each_tile(const Tiling& t, int64_t batch, const Body& body) {
    const int64_t first = batch * t.lanes;
    auto [line, j] = divmod(first, t.across);
    auto [n, i] = divmod(line, t.down);
    for (int64_t lane = 0; lane < std::min(t.lanes, t.count - first); ++lane) {
        body(lane, n, i * t.tile.height, j * t.tile.width);
        if (++j == t.across) j = 0, ++i;
        if (i == t.down) i = 0, ++n;
    }
}

bool is_even(const TileSize& tile) { return tile.height % 2 == 0 && tile.width % 2 == 0; }

SparseTable::Rows rows_of(const SparseTable::Tile& tile, SparsePattern pattern) {
    switch (pattern) {
        case SparsePattern::unstructured: return tile.unstructured;
        case SparsePattern::one_of_four: return tile.one_of_four;
        case SparsePattern::two_of_four: return tile.two_of_four;
        case SparsePattern::row_blocks: return tile.row_blocks;
        case SparsePattern::column_blocks: return tile.column_blocks;
    }
    return nullptr;
}

std::vector<TileSize> tiles_of(SparsePattern pattern, bool even) {
    const SparseTable& kernels = table().sparse;
    std::vector<TileSize> tiles;
    for (int i = 0; i < kernels.tiles; ++i)
        if (rows_of(kernels.tile[i], pattern) && (!even || is_even(kernels.tile[i]))) tiles.push_back(kernels.tile[i]);
    return tiles;
}

}  // namespace

TileAxis::TileAxis(int64_t results, int64_t taps, int64_t stride, int64_t dilation) : tap(static_cast<size_t>(taps)) {
    for (int64_t phase = 0; phase < stride; ++phase) {
        int64_t first = std::numeric_limits<int64_t>::max(), last = -1;
        const int64_t start = size();
        for (int64_t t = 0; t < taps; ++t)
            if (t * dilation % stride == phase) {
                first = std::min(first, t * dilation / stride);
                last = t * dilation / stride + results - 1;
                tap[static_cast<size_t>(t)] = start + t * dilation / stride - first;
            }
        for (int64_t i = first; i <= last; ++i) input.push_back(phase + i * stride);
    }
}

Tiling::Tiling(const Conv2dShape& g, int64_t lanes, const TileSize& tile, int64_t chunk)
    : shape(g),
      lanes(lanes),
      tile(tile),
      h(tile.height, g.kernel_h, g.stride_h, g.dilation_h),
      w(tile.width, g.kernel_w, g.stride_w, g.dilation_w),
      down(ceil_div(g.out_h, tile.height)),
      across(ceil_div(g.out_w, tile.width)),
      count(g.batch * down * across),
      batches(ceil_div(count, lanes)),
      positions(h.size() * w.size()),
      plane(positions * lanes),
      vectors(tile.height * tile.width),
      chunk(chunk) {}

// A weight is one broadcast load, V loads of activations and V multiply-adds, of which the more numerous set the pace;
// loads take longer the more the planes exceed the near cache. Every chunk loads and stores the sums of all rows.
double Tiling::cycles(const SparseCosts& cost, SparsePattern pattern, int64_t nonzeros, double moving) const {
    const double v = static_cast<double>(vectors), outputs = pattern == SparsePattern::column_blocks ? 4 : 1;
    const double beyond = std::max(static_cast<double>(chunk * plane * 4) / cost.near_bytes - 1, 0.0);
    const double loads = (v + outputs) * (1 + cost.beyond * beyond);
    const double products =
        static_cast<double>(nonzeros) / outputs * (std::max(loads, v * outputs) * cost.operation + cost.weight);
    const double sums =
        static_cast<double>(shape.out_c * ceil_div(shape.in_c / shape.groups, chunk)) * (cost.sum * v + cost.row);
    const double moved = moving * static_cast<double>(shape.in_c * positions + shape.out_c * vectors);
    return static_cast<double>(batches) * (products + sums + moved);
}

template <class T>
void Tiling::inputs(int64_t batch, const T* x, const T* outside, const T** to) const {
    const Conv2dShape& g = shape;
    std::fill(to, to + plane, outside);
    if (one_line(g)) {
        const int64_t first = batch * plane, pixels = std::min(plane, g.out_w - first);
        for (int64_t i = 0; i < pixels; ++i) to[i] = x + (first + i) * g.in_c;
        return;
    }
    for_each_tile(*this, batch, [&](int64_t lane, int64_t n, int64_t row, int64_t column) {
        const T** at = to + lane;
        for (int64_t i : h.input) {
            const int64_t y = row * g.stride_h - g.pad_top + i;
            for (int64_t j : w.input) {
                const int64_t c = column * g.stride_w - g.pad_left + j;
                if (y >= 0 && y < g.in_h && c >= 0 && c < g.in_w) *at = x + ((n * g.in_h + y) * g.in_w + c) * g.in_c;
                at += lanes;
            }
        }
    });
}

template <class T>
void Tiling::outputs(int64_t batch, T* y, T** to) const {
    const Conv2dShape& g = shape;
    std::fill(to, to + vectors * lanes, nullptr);
    if (one_line(g)) {
        const int64_t first = batch * plane, pixels = std::min(plane, g.out_w - first);
        for (int64_t i = 0; i < pixels; ++i) to[i] = y + (first + i) * g.out_c;
        return;
    }
    for_each_tile(*this, batch, [&](int64_t lane, int64_t n, int64_t row, int64_t column) {
        for (int64_t i = 0; i < std::min<int64_t>(tile.height, g.out_h - row); ++i)
            for (int64_t j = 0; j < std::min<int64_t>(tile.width, g.out_w - column); ++j)
                to[(i * tile.width + j) * lanes + lane] =
                    y + ((n * g.out_h + row + i) * g.out_w + column + j) * g.out_c;
    });
}

template void Tiling::inputs(int64_t, const float*, const float*, const float**) const;
template void Tiling::inputs(int64_t, const uint32_t*, const uint32_t*, const uint32_t**) const;
template void Tiling::outputs(int64_t, float*, float**) const;
template void Tiling::outputs(int64_t, uint8_t*, uint8_t**) const;
template void Tiling::outputs(int64_t, const uint8_t*, const uint8_t**) const;

SparseTable::Rows kernel_of(const SparseTable& kernels, const TileSize& size, SparsePattern pattern) {
    for (int i = 0; i < kernels.tiles; ++i)
        if (kernels.tile[i].height == size.height && kernels.tile[i].width == size.width)
            return rows_of(kernels.tile[i], pattern);
    return nullptr;
}

Tiling best_tiling(const Conv2dShape& shape, int64_t lanes, std::span<const TileSize> tiles, int64_t step,
                   const SparseCosts& cost, SparsePattern pattern, int64_t nonzeros, double moving) {
    const int64_t channels = shape.in_c / shape.groups;
    const int64_t most = std::max<int64_t>(UINT16_MAX / (shape.kernel_h * shape.kernel_w) / step, 1);
    std::optional<Tiling> best;
    double least = std::numeric_limits<double>::infinity();
    for (const TileSize& tile : tiles)
        for (int64_t steps = 1; steps <= std::min(most, ceil_div(channels, step)); ++steps) {
            const Tiling tiling(shape, lanes, tile, steps * step);
            const double cycles = tiling.cycles(cost, pattern, nonzeros, moving);
            if (cycles <= least) least = cycles, best.emplace(std::move(tiling));
        }
    return *best;
}

Tiling best_tiling(const Conv2dShape& shape, SparsePattern pattern, int64_t nonzeros, double moving, bool even) {
    const std::vector<TileSize> tiles = tiles_of(pattern, even);
    check(!tiles.empty(), "sparse: ", name_of(pattern), " has no tile of whole 2x2 pixels");
    return best_tiling(shape, table().sparse.lanes, tiles, 8, speed().sparse, pattern, nonzeros, moving);
}

bool has_even_tile(SparsePattern pattern) { return !tiles_of(pattern, true).empty(); }

}  // namespace lathe::kernels::sparse
