#pragma once
#include <cstdint>
#include <memory>

#include "lathe/core/kernels/conv2d/shape.h"
#include "lathe/core/kernels/sparse/filter.h"

// Convolution of activations [C, H, W, N] of as many images as a vector has lanes (the layout of cuda-convnet,
// Krizhevsky 2012): every pixel of a channel is one vector. Sparse weights then meet aligned vectors at fixed
// distances, and nothing is transposed from layer to layer, as it must be between NHWC and the sparse kernels. Seen as
// NHWC it is a batch of C images of N channels: whatever treats images alike and channels alike (pooling, activations,
// addition) runs on it unchanged.
namespace lathe::kernels::chwn {

int64_t images();  // N: the lanes of this CPU's vectors

// x [N, pixels, channels] to y [channels, pixels, N], and back.
void enter(int64_t pixels, int64_t channels, const float* x, float* y);
void leave(int64_t pixels, int64_t channels, const float* x, float* y);

// Any shape, whatever its batch; the weights [K, R, S, C/G] may be zero anywhere, or nowhere. forward() takes batches
// of images() only, x and y [C, H, W, N]. pool: y holds the largest of every 2x2 results instead, [C, H / 2, W / 2, N],
// and takes no addend; the shape's H and W are even then.
std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight, bool pool = false);

// An estimate of the cycles that what prepare() makes takes for such a batch.
double cycles(const Conv2dShape& shape, const float* weight);

}  // namespace lathe::kernels::chwn
