#pragma once
#include "lathe/core/kernels/conv2d.h"
#include "lathe/core/kernels/sparse_filter.h"

// Convolution with weights of which many are zero: the work grows with those that are not. Vectors run over pixels, 16 tiles
// of the result side by side (sparse.inc says how and what limits it). A linear layer of n rows is a convolution of n images
// of one pixel.
namespace lathe::kernels::sparse {

// Any shape; the weights [K, R, S, C/G] as SparseFilter takes them. Errors: SparseFilter's.
std::unique_ptr<Conv2dFilter> pack(const Conv2dShape& shape, const float* weight, SparsePattern pattern = SparsePattern::unstructured);

}  // namespace lathe::kernels::sparse
