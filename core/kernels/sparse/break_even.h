#pragma once
#include <array>
#include <string>
#include <vector>

#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/sparse/filter.h"

// From which share of zeros on a sparse kernel beats the dense one, as measured once: on this machine by `lathe tune`, else on
// the machine that the shipped table comes from. Nothing is timed when a kernel is chosen, so the same weights always run the
// same kernel; nor does the number of threads count, for results must not depend on it.
namespace lathe::kernels::sparse {

struct BreakEven {
    std::string dense;              // what conv2d_prepare would take, as conv2d_algorithm names it
    int64_t channels;               // of input and output, in a group, at least
    std::array<double, 5> sparsity;  // by SparsePattern; 1: never
};

// The first row that fits counts; a layer that none fits runs dense.
struct BreakEvenTable {
    std::vector<BreakEven> rows;
    std::string source;  // its file, or "shipped"
};

const BreakEvenTable& shipped_break_even();

// The table in use: of the file that the environment variable LATHE_TUNE names (none: the shipped one), else of
// $XDG_CACHE_HOME/lathe/break-even-ISA.txt (~/.cache without that variable) if it is there, else the shipped one. Read once.
// Error: the file is damaged or of another instruction set, or LATHE_TUNE names one that is missing.
const BreakEvenTable& break_even();

// Overrides that choice, for tests and benchmarks; not while a model is prepared.
void use_break_even(BreakEvenTable table);

// Where break_even() looks and `lathe tune` writes; empty without a home folder.
std::string break_even_file();

// The text of a file: a line that names format and instruction set, then one for each row of the shipped table, in its order.
// Error of reading: anything else, with the file and the line.
BreakEvenTable read_break_even(const std::string& path, Isa isa);
void write_break_even(const std::string& path, Isa isa, const BreakEvenTable& table);  // makes the folder

}  // namespace lathe::kernels::sparse
