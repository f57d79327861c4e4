#pragma once
#include <vector>

#include "lathe/core/kernels/sparse/pattern.h"
#include "lathe/core/tensor.h"

namespace lathe::compress {

using kernels::Pattern;
using kernels::parse_pattern;

// How weights whose importance equals the threshold are treated.
enum class Ties {
    exact,      // those that come first in memory go, until the number of zeros is met
    prune_all,  // all go, as in the course lab: more zeros than asked for, in weights that are all equal everything
};

// A u8 mask (1: keep) for each tensor of importances (f32), with one threshold over all of them: of n units (weights,
// or blocks by the mean of theirs) z = round(n * sparsity) are zero, halves rounded to even; the threshold is the z-th
// smallest importance, what is above it is kept, and Ties say what becomes of its equals. n_of_m keeps the
// m - round(m * sparsity) most important of every group, the first of equal ones. Importance -infinity is never kept.
// Error: sparsity outside [0, 1], a NaN, or m does not divide the columns.
std::vector<Tensor> make_masks(const std::vector<Tensor>& importances, double sparsity, const Pattern& pattern = {},
                               Ties ties = Ties::exact);
Tensor make_mask(const Tensor& importance, double sparsity, const Pattern& pattern = {}, Ties ties = Ties::exact);

// The number of zeros that is asked for: round(count * sparsity), halves to even, as Python rounds.
int64_t zeros_of(int64_t count, double sparsity);

}  // namespace lathe::compress
