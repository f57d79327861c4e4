#pragma once
#include "lathe/core/kernels/conv2d/shape.h"
#include "lathe/core/kernels/sparse/filter.h"

// Terms of this family:
//   plane     one input channel of the pixels that a batch of tiles needs: [positions, lanes] floats
//   position  one of a tile's input pixels, the same of every tile of a batch side by side in the lanes of a vector
//   tile      height x width results whose sums stay in registers while a row of weights passes (sparse.inc)
//   batch     of tiles: as many as a vector has lanes, one a lane; in CHWN the lanes are images
//   chunk     input channels taken at a time, so that their planes stay in the nearest cache
//   segment   16 output channels of a group, whose weights of one chunk lie together
//   row       one output channel of a segment, or with 4x1 blocks four; part: a segment's weights in one chunk
//   group     of a convolution with groups; of N:M, 4 neighbouring channels
//   even      a tile of whole 2x2 results, behind which a maximum can follow at once
//   moving    what a vector costs on its way between activations and planes or sums
//   enter, leave    from NHWC into planes and from sums back, transposing; copy: from CHWN into planes
//   place     to replace what a weight meets (tap, channel) by where that stands in the planes
// The plain loop behind all of it: portable.h.

// Convolution with weights of which many are zero: the work grows with those that are not. Vectors run over pixels, 16
// tiles of the result side by side (sparse.inc says how and what limits it). A linear layer of n rows is a convolution
// of n images of one pixel.
namespace lathe::kernels::sparse {

// Any shape; the weights [K, R, S, C/G] as SparseFilter takes them. Errors: SparseFilter's.
std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight,
                                   SparsePattern pattern = SparsePattern::unstructured);

// Whether prepare() is faster than conv2d_prepare() when the share `sparsity` of the weights is zero, by speed()'s
// table. Never where the pixels of a batch do not fill a vector.
bool faster(const Conv2dShape& shape, SparsePattern pattern, double sparsity);

// Sparse where that is faster, else conv2d_prepare(). The pattern is known by whoever pruned; any weights are
// unstructured.
std::unique_ptr<PreparedConv2d> prepare_fastest(const Conv2dShape& shape, const float* weight,
                                                SparsePattern pattern = SparsePattern::unstructured);

// Estimates, in cycles, of what prepare()'s and prepare_fastest()'s forward take.
double cycles(const Conv2dShape& shape, const float* weight, SparsePattern pattern);
double fastest_cycles(const Conv2dShape& shape, const float* weight, SparsePattern pattern);

}  // namespace lathe::kernels::sparse
