#pragma once
#include "lathe/core/kernels/conv2d/shape.h"

// Convolution as matrix products whose rows are patches of the image, read in place (Dukhan 2019, arXiv 1907.02129,
// does it by pointers): a band of the image is copied with its padding into a small buffer, where the S taps of a
// kernel row times C channels are neighbours in memory, so a patch is R stretches of S * C floats. Any shape, groups
// included.
namespace lathe::kernels::direct {

bool suits(const Conv2dShape& shape, Conv2dPass pass);  // always

std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight);
void backward_input(const Conv2dShape& shape, const float* dy, const float* weight, float* dx);
void backward_weight(const Conv2dShape& shape, const float* x, const float* dy, float* dweight);

}  // namespace lathe::kernels::direct
