#pragma once
#include <cstdint>

#include "lathe/core/integer/arithmetic.h"
#include "lathe/core/kernels/dispatch/dispatch.h"

// Kernels on 8-bit integers. Activations are u8 in NHWC, weights i8; sums are i32 and never overflow, which is for
// callers to see to. All variants give the same bits: sums are exact, and what follows is core/integer/arithmetic.h.
namespace lathe::kernels::integer {

constexpr int kLanes = 16;       // channels of a vector of sums
constexpr int kMaxVectors = 4;   // the widest panel
constexpr int kMaxRows = 96;     // the tallest tile

// What becomes of sums of `channels`, for each (integer::Layer says the terms and their ranges):
//   y = saturate(requantize_with(sum + bias, multiplier, fraction + beside, shift) + zero, low, high)
//   beside = (addend - addend_zero) 2^addend_shift addend_multiplier
// Arrays reach to the end of the last vector.
struct Finish {
    const int32_t *bias, *fraction, *multiplier, *shift;
    const int32_t* weight_sum;  // of the channel's weights, for kernels whose activations are not in 0..255
    const int32_t *addend_multiplier, *addend_shift;  // null: no addend
    int32_t addend_zero, zero, low, high;
};

// A tile of a matrix product: `rows` pixels by `vectors` x 16 channels. The products of pixel i come in `runs`
// stretches of 4 `steps` neighbouring bytes, from x[i] + run[r] on, of which weights that are zero meet what is read
// beyond the pixel's own.
//   8 bits: weights [runs, steps, vectors x 16, 4]
//   4, 2 bits: weights [runs, steps / n, vectors x 16, 4], a byte those of n = 8 / bits steps, the first in the lowest
//           bits. Kernels shift each to the top of a byte, so sums are 2^(8 - bits) times as great, in finer steps
struct Tile {
    int rows, vectors;
    int64_t channels;  // of results that there are
    int64_t runs, steps;
    int64_t chunk;  // steps that matrices are multiplied in, as MatrixProducts says
    const uint8_t* x[kMaxRows];
    const int64_t* run;
    const int8_t* weights;
    uint8_t* y[kMaxRows];
    const uint8_t* addend[kMaxRows];
    Finish finish;
};

// Neighbouring results of a depthwise correlation: pixel i of y is the sum over taps t of x[t][i x_step + c] times the
// weight of tap t. Weights are [blocks of 64 channels, taps / 4, 4 vectors, 64], in the order of kernels
// (depthwise_place); with 4 or 2 bits a byte holds those of n = 8 / bits neighbouring vectors, as in a Tile.
struct DepthwiseRow {
    int64_t pixels, channels, taps;
    const uint8_t* x;
    const int64_t* tap;  // where it reads, from x on
    int64_t x_step;
    const int8_t* weights;
    uint8_t* y;
    Finish finish;  // in the order of kernels
};

// The same of 3x3 windows down `rows` rows of results. Four taps are those of a row of the window and one of no weight,
// from x, x + x_column and x + 2 x_column on, so that a row which has been interleaved serves three results.
struct DepthwiseBand {
    int64_t rows, pixels, channels;
    const uint8_t* x;
    int64_t x_column, x_step, x_row;  // from tap to tap, pixel to pixel, row to row of x
    int64_t stride;                   // rows of x from result to result, 1 or 2
    const int8_t* weights;
    uint8_t* y;
    int64_t y_row;
    Finish finish;
};

// By bits of weights; null: an instruction set that goes row by row.
struct DepthwiseBands {
    void (*of8)(const DepthwiseBand& band) = nullptr;
    void (*of4)(const DepthwiseBand& band) = nullptr;
    void (*of2)(const DepthwiseBand& band) = nullptr;
};

// Where channel c of 64 stands in blocks of sums: the order in which interleaving bytes of vectors leaves them.
constexpr int depthwise_place(int c) { return c / 4 % 4 * 16 + c / 16 * 4 + c % 4; }

// Weights of which many are zero, in quads: those of four neighbouring input channels at one tap of one output channel,
// one of which at least is not zero. They meet planes as the float sparse kernels have them (kernels/sparse/conv2d.h
// says the terms), of quads of activations in place of floats: [quads of channels, positions, 16 lanes, 4].
constexpr TileSize kSparseTiles[] = {{1, 1}, {1, 2}, {1, 4}, {2, 2}, {1, 8}, {2, 4}, {1, 16}, {4, 4}};

struct SparseRows {
    TileSize tile;            // one of kSparseTiles
    int64_t rows;             // output channels
    const uint16_t* counts;   // quads of each
    const int32_t* offsets;   // of what each quad meets in the planes, in bytes; two more are read
    const int8_t* weights;    // [quads, 4]
    const uint8_t* planes;
    int64_t line;             // bytes between the lines of a tile
    int32_t* sums;            // [rows, height x width, 16 lanes]
    bool accumulate;          // sums += instead of sums =
};

// What becomes of sums [rows, vectors, 16 lanes], rows of at most 16: those of a lane are the channels from `channel`
// on of the pixel that y [vectors, 16 lanes] has the address of; where that is null nothing is written.
struct SparseResults {
    int64_t rows, vectors, channel;
    const int32_t* sums;
    uint8_t* const* y;
    const uint8_t* const* addend;  // likewise
    Finish finish;
};

struct Sparse {
    // Planes of `quads` quads of channels, from `first` on, of the pixels [positions, 16 lanes]; `plane` bytes between
    // them. Addresses are those of bytes, whatever their type.
    void (*enter)(int64_t quads, int64_t positions, const uint32_t* const* pixels, int64_t first, int64_t plane,
                  uint8_t* planes);
    void (*rows)(const SparseRows& rows);
    void (*leave)(const SparseResults& results);
};

// Over n contiguous values.
struct Elementwise {
    void (*add)(int64_t n, const uint8_t* a, const uint8_t* b, lathe::integer::Sum sum, int32_t low, int32_t high,
                uint8_t* y);
    // b holds one value for all of a with b_step 0, else one for each.
    void (*mul)(int64_t n, const uint8_t* a, int32_t a_zero, const uint8_t* b, int32_t b_zero, int64_t b_step,
                lathe::integer::Multiplier by, int32_t zero, int32_t high, uint8_t* y);
    void (*lookup)(int64_t n, const uint8_t* x, const uint8_t* table, uint8_t* y);
    void (*max)(int64_t n, const uint8_t* x, uint8_t* y);       // y = the greater of x and y
    void (*sum)(int64_t n, const uint8_t* x, int32_t* sums);    // sums += x
    void (*mean)(int64_t n, const int32_t* sums, int32_t count, int32_t x_zero, lathe::integer::Multiplier by,
                 int32_t zero, int32_t high, uint8_t* y);
    void (*quantize)(int64_t n, const float* x, float scale, int32_t zero, int32_t high, uint8_t* y);
};

constexpr int kBurnChains = 12, kBurnRounds = 4000;

// By bits of weights.
struct Products {
    void (*of8)(const Tile& tile) = nullptr;
    void (*of4)(const Tile& tile) = nullptr;
    void (*of2)(const Tile& tile) = nullptr;
};

// Products by matrix registers, which a thread sets up for a layer and then lets go of.
struct MatrixProducts {
    const char* name = nullptr;  // null: there are none
    // How many of a run's steps they multiply at once; 0: vectors are faster.
    int64_t (*chunk)(int64_t steps, int bits) = nullptr;
    void (*begin)(int64_t chunk) = nullptr;
    void (*end)() = nullptr;
    int least_rows = 0, rows = 0;  // of tiles for which they are worth it, and of the tallest
    Products products = {};
};

struct Table {
    const char* name;
    int rows[kMaxVectors];  // of the tallest tile of 1, 2, … vectors
    Products products;
    MatrixProducts matrix;
    void (*depthwise8)(const DepthwiseRow& row);
    void (*depthwise4)(const DepthwiseRow& row);
    void (*depthwise2)(const DepthwiseRow& row);
    DepthwiseBands depthwise_bands;
    Sparse sparse;
    Elementwise elementwise;
    int32_t (*burn)(int32_t start);  // products on registers alone, the fastest that there are, to measure the peak:
    int64_t burnt;                   // so many operations, two for each product
};

// Of one instruction set; avx512 with the dot products of VNNI where this CPU has them, else avx2's; amx with its
// matrix products beside them; neon with those of Arm v8.2, else the baseline's.
// Error: not supported here.
const Table& table(Isa isa);
const Table& table();  // what runs (dispatch.h)

}  // namespace lathe::kernels::integer
