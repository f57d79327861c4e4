#pragma once
#include "lathe/core/kernels/conv2d/shape.h"
#include "lathe/core/kernels/sparse/filter.h"

// Convolution with weights of which many are zero: the work grows with those that are not. Vectors run over pixels, 16
// tiles of the result side by side (sparse.inc says how and what limits it). A linear layer of n rows is a convolution
// of n images of one pixel.
namespace lathe::kernels::sparse {

// Any shape; the weights [K, R, S, C/G] as SparseFilter takes them. Errors: SparseFilter's.
std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight,
                                   SparsePattern pattern = SparsePattern::unstructured);

// The pattern with the fastest kernel that holds these weights with at most 5% of zeros stored beside them.
SparsePattern pattern_of(const Conv2dShape& shape, const float* weight);

// Whether prepare() is faster than conv2d_prepare() when the share `sparsity` of the weights is zero, by speed()'s
// table. Never where the pixels of a batch do not fill a vector.
bool faster(const Conv2dShape& shape, SparsePattern pattern, double sparsity);

// Sparse in the weights' own pattern where that is faster, else conv2d_prepare().
std::unique_ptr<PreparedConv2d> prepare_fastest(const Conv2dShape& shape, const float* weight);

// Estimates, in cycles, of what prepare()'s and prepare_fastest()'s forward take.
double cycles(const Conv2dShape& shape, const float* weight, SparsePattern pattern);
double fastest_cycles(const Conv2dShape& shape, const float* weight);

}  // namespace lathe::kernels::sparse
