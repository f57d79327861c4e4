#pragma once
#include <array>
#include <string>
#include <vector>

#include "lathe/core/kernels/conv2d/shape.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/sparse/filter.h"

// How fast layers run, dense and sparse: the one model of it, by which prepare_fastest, the layout of activations and
// the pruner choose. Its rates were measured once: on this machine by `lathe tune`, else on the machine that the
// shipped table comes from. Nothing is timed when a kernel is chosen, so the same weights always run the same kernel;
// nor does the number of threads count, for results must not depend on it.
namespace lathe::kernels::sparse {

// From which share of zeros on the sparse kernel beats the dense one, loading and all.
struct BreakEven {
    std::string dense;              // what conv2d_prepare would take, as conv2d_algorithm names it
    int64_t channels;               // of input and output, in a group, at least
    std::array<double, 5> sparsity;  // by SparsePattern; 1: never
};

// Multiply-adds that a dense algorithm makes in each lane and cycle.
struct DenseRate {
    std::string algorithm;
    double rate;
};

// What the sparse kernels' steps take, in cycles; Tiling::cycles adds them up.
struct SparseCosts {
    double operation;   // a vector's load from the near cache, or a multiply-add
    double weight;      // a weight or block, beside its operations
    double sum;         // a vector of sums, loaded and stored once a chunk
    double row;         // an output channel, once a chunk
    double near_bytes;  // that the near cache holds of planes
    double beyond;      // how much longer a load takes for every `near_bytes` that the planes are larger
    double transpose;   // a vector between NHWC and planes
    double copy;        // a vector between CHWN and planes
    double convert;     // a vector of a map between NHWC and CHWN, read and written beyond the near caches
    double region;      // waking another thread: less work stays on one
};

// What layers of 8-bit integers take (kernels/integer), in the same cycles. Their vectors have 16 lanes whatever the
// instruction set.
struct IntegerCosts {
    double dense;   // four multiply-adds in each lane of a dense layer, by vectors
    double matrix;  // the same by matrix registers, where there are any
    double finish;  // a vector of a dense layer's results, made of sums
    double quad;    // a vector of a sparse layer's planes loaded, or its four multiply-adds in each lane
    double moving;  // a vector of a sparse layer's, on its way into planes or from sums to results
};

struct Speed {
    std::vector<BreakEven> break_even;  // the first row that fits a layer counts; one that none fits runs dense
    std::vector<DenseRate> dense;       // a row for every algorithm
    SparseCosts sparse;
    IntegerCosts integer;
    std::string source;  // its file, or "shipped"

    const BreakEven* break_even_of(const Conv2dShape& shape) const;  // null: no row fits
    double dense_cycles(const Conv2dShape& shape) const;             // of conv2d_prepare()'s forward
};

inline constexpr double kLeastSparsity = 0.25;  // below it no pattern gains
inline constexpr int64_t kFewestPixels = 16;    // of a batch: fewer do not fill a vector

const Speed& shipped_speed();

// The table in use: of the file that the environment variable LATHE_TUNE names (none: the shipped one), else of
// $XDG_CACHE_HOME/lathe/speed-ISA.txt (~/.cache without that variable) if it is there, else the shipped one. Read once.
// Error: the file is damaged or of another instruction set, or LATHE_TUNE names one that is missing.
const Speed& speed();

// Overrides that choice, for tests and benchmarks; not while a model is prepared.
void use_speed(Speed table);

// Where speed() looks and `lathe tune` writes; empty without a home folder.
std::string speed_file();

// The text of a file: a line that names format and instruction set, then one for each row of the shipped table, in its
// order: "dense ALGORITHM RATE", "sparse COST VALUE", "integer COST VALUE", "break-even ALGORITHM CHANNELS" and a
// sparsity for each pattern.
// Error of reading: anything else, with the file and the line.
Speed read_speed(const std::string& path, Isa isa);
void write_speed(const std::string& path, Isa isa, const Speed& table);  // makes the folder

}  // namespace lathe::kernels::sparse
