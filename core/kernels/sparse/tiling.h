#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "lathe/core/kernels/conv2d/shape.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/sparse/filter.h"
#include "lathe/core/kernels/sparse/speed.h"

namespace lathe::kernels::sparse {

// The input pixels along one axis of a tile, those of one phase of the stride beside each other: result j finds tap t
// at position tap[t] + j.
struct TileAxis {
    std::vector<int64_t> input;  // coordinate of every position, from where tap 0 of result 0 reads
    std::vector<int64_t> tap;

    TileAxis(int64_t results, int64_t taps, int64_t stride, int64_t dilation);
    int64_t size() const { return static_cast<int64_t>(input.size()); }
};

// How a convolution is cut into tiles of results that go through the kernels in batches of `lanes`. Where pixels are
// all alike (1x1, the map one line of pixels), a vector holds neighbouring ones.
struct Tiling {
    Conv2dShape shape;
    int64_t lanes;
    TileSize tile;
    TileAxis h, w;
    int64_t down, across, count, batches;  // tiles of a column and a row of the map, in all; batches of them
    int64_t positions, plane;              // input pixels of a tile; floats of one channel of a batch
    int64_t vectors;                       // results of a tile

    int64_t chunk;                         // input channels taken at a time, a multiple of 8

    Tiling(const Conv2dShape& shape, int64_t lanes, const TileSize& tile, int64_t chunk);

    // An estimate, of all batches, for weights of which about `nonzeros` are not zero; a vector takes `moving` cycles
    // on its way into a plane or out of the sums.
    double cycles(const SparseCosts& cost, SparsePattern pattern, int64_t nonzeros, double moving) const;

    // Addresses of the input pixels [positions, lanes] of a batch, each of as many T as the shape has channels;
    // `outside` where the map ends.
    template <class T>
    void inputs(int64_t batch, const T* x, const T* outside, const T** to) const;
    // Addresses of the results [vectors, lanes]; null outside the map.
    template <class T>
    void outputs(int64_t batch, T* y, T** to) const;
};

// Null: none.
SparseTable::Rows kernel_of(const SparseTable& kernels, const TileSize& tile, SparsePattern pattern);

// The tile of some and the chunk, a multiple of `step`, with the least estimated time.
Tiling best_tiling(const Conv2dShape& shape, int64_t lanes, std::span<const TileSize> tiles, int64_t step,
                   const SparseCosts& cost, SparsePattern pattern, int64_t nonzeros, double moving);
// Among those that have a kernel. even: among the tiles of whole 2x2 pixels. Error: the pattern has none.
Tiling best_tiling(const Conv2dShape& shape, SparsePattern pattern, int64_t nonzeros, double moving, bool even = false);
bool has_even_tile(SparsePattern pattern);

}  // namespace lathe::kernels::sparse
