#pragma once
#include "lathe/core/kernels/conv2d/shape.h"
#include "lathe/core/kernels/gemm/panels.h"

// Convolution as matrix products whose rows are patches of the image, read in place (Dukhan 2019, arXiv 1907.02129,
// does it by pointers). Any shape, groups included.
//
// Result (p, q) of K channels is one row of a product: y [K] = patch [R S C] W^T [R S C, K]. im2col would write out all
// patches, R * S times the image. But neighbours in a patch are neighbours in the image: the S taps of a kernel row
// times C channels lie side by side, so a patch is R runs of S * C floats, and the patch of result (p, q + 1) begins
// stride * C floats further on. The register tile takes its A that way (Panel::a_row and a_run), and nothing is
// copied but
//   a band: the rows under a few rows of results, with their padding around them, so that no run needs to ask where the
//           border is. 64 KiB, small enough to stay in the second-level cache beside its results and a panel of W.
// For each band, for each panel of output channels (W is packed in panels [R S C, columns] once), for each row of
// results: one call of the tile for Q results. W is read once a band, the band once a panel, both from a near cache.
// Taps apart by a dilation, or channels of a group, break a run into one for each tap. dx is the same with dy as image,
// once for every phase of the stride; dW [K, R S C] = dy^T [K, pixels] patches [pixels, R S C] adds up over the bands.
namespace lathe::kernels::direct {

bool suits(const Conv2dShape& shape, Conv2dPass pass);  // always

std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight);
std::unique_ptr<PreparedConv2d> prepare_indexed(const Conv2dShape& shape, const IndexedWeight& weight);
void backward_input(const Conv2dShape& shape, const float* dy, const float* weight, float* dx);
void backward_weight(const Conv2dShape& shape, const float* x, const float* dy, float* dweight);

}  // namespace lathe::kernels::direct
