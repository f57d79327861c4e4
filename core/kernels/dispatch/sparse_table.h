#pragma once
#include <cstdint>

#include "lathe/core/kernels/dispatch/epilogue.h"

namespace lathe::kernels {

// Where the results of a tile go when its lanes are images: output o, pixel (i, j) to y + o * map + i * line + j *
// lanes.
struct SparseResults {
    float* y;
    int64_t map, line;
    int64_t outputs, height, width;  // channels and pixels that there are; the tile may reach beyond
    Epilogue epilogue;               // its bias begins with that of the first output
};

// The weights of some output channels in one chunk of input channels, and the activations that they meet. `lanes` tiles
// of results go through the kernels side by side, one a vector lane, so a neighbouring pixel is a neighbouring vector
// and every load is aligned. Activations stand as planes [channel, position, lane]; positions are the input pixels of a
// tile.
//   unstructured, blocks: `counts` of blocks in each row; a block has an offset in the planes and its values (4 with
//                         1x4 and 4x1). Two offsets more than there are blocks are read.
//   N:M:                  `groups` of 4 channels, each with an offset, the same in every row; N values of each, and
//                         their positions in the group, 2 bits each, 4 a byte. One byte more is read.
struct SparseRows {
    int64_t rows;            // row blocks: of 4 outputs with 4x1, else of one
    const uint16_t* counts;
    const int32_t* offsets;  // in floats
    const uint8_t* positions;
    int64_t groups;
    const float* values;
    const float* planes;
    int64_t plane, line;  // floats between channels and between the lines of a tile
    float* sums;          // [rows x outputs, tile vectors, lanes]
    bool accumulate;      // sums += instead of sums =
    const SparseResults* results;  // where the last chunk writes instead of to the sums; may be null
};

struct TileSize {
    int height, width;  // results
};

struct SparseTable {
    using Rows = void (*)(const SparseRows& rows);
    struct Tile : TileSize {
        Rows unstructured, one_of_four, two_of_four, row_blocks, column_blocks;  // null: more sums than registers
    };
    int lanes;
    int tiles;
    const Tile* tile;  // those that there are kernels for

    // Planes of `channels` channels, from `first` on, of the pixels [positions, lanes].
    void (*enter)(int64_t channels, int64_t positions, const float* const* pixels, int64_t first, int64_t plane,
                  float* planes);

    // The same from activations [channel, map] whose lanes are images: position p of each channel is the vector at
    // offsets[p] of its map, zeros where that is negative. What lies `ahead` floats further is fetched into a near
    // cache.
    void (*copy)(int64_t channels, int64_t positions, const int32_t* offsets, const float* x, int64_t map,
                 int64_t ahead, int64_t plane, float* planes);

    // The largest of every 2x2 sums of a tile [outputs, height x width, lanes], those pixels of `to` that there are.
    void (*pool)(int height, int width, const float* sums, const SparseResults& to);

    // Sums [rows, vectors, lanes], `row` floats from row to row, to the channels from `first` on of the pixels
    // [vectors, lanes], those that are not null. stream: past the caches; rows and pixels are then aligned to vectors.
    void (*leave)(int64_t rows, int64_t vectors, const float* sums, int64_t row, const Epilogue& epilogue,
                  int64_t first, float* const* pixels, bool stream);
};

}  // namespace lathe::kernels
