#pragma once
#include <memory>

#include "lathe/core/kernels/conv2d/shape.h"
#include "lathe/core/kernels/gemm/panels.h"

namespace lathe::kernels {

// Which kernel runs is the first row of conv2d/algorithms.h that suits the shape.
// Every function overwrites its result, splits its work over the threads and gives the same bits for any number of
// them. float32 runs the fastest kernel of this CPU; float64 the portable reference (gradient checks).

// y = conv(x, weight) + bias; bias [K] may be null.
void conv2d_forward(const Conv2dShape& shape, const float* x, const float* weight, const float* bias, float* y);
void conv2d_forward(const Conv2dShape& shape, const float* x, const float* weight, const Epilogue& epilogue, float* y);
void conv2d_forward(const Conv2dShape& shape, const double* x, const double* weight, const double* bias, double* y);

// dx [N, H, W, C] from dy [N, P, Q, K].
void conv2d_backward_input(const Conv2dShape& shape, const float* dy, const float* weight, float* dx);
void conv2d_backward_input(const Conv2dShape& shape, const double* dy, const double* weight, double* dx);

// dweight [K, R, S, C/G] from x and dy.
void conv2d_backward_weight(const Conv2dShape& shape, const float* x, const float* dy, float* dweight);
void conv2d_backward_weight(const Conv2dShape& shape, const double* x, const double* dy, double* dweight);

// The weights arranged for the kernel that conv2d_forward takes for a shape.
std::unique_ptr<PreparedConv2d> conv2d_prepare(const Conv2dShape& shape, const float* weight);
// The indices of a weight that shares a codebook, for the first kernel that suits the shape and reads such.
std::unique_ptr<PreparedConv2d> conv2d_prepare(const Conv2dShape& shape, const IndexedWeight& weight);
// Whether that is faster than conv2d_prepare() of the values: where a few rows wait for the weights of a matrix that no
// cache holds, and entries are quick to look up. 4096 x 4096 weights in 4 bits, one core of a Zen 5 with AVX-512, times
// the speed of values: 1.6 to 2 for 1 and for 4 rows, 0.9 for 16; with 8 bits 0.6 for any. Of weights that a cache
// holds 0.6 to 0.9.
bool indexed_is_faster(const Conv2dShape& shape, int bits);

}  // namespace lathe::kernels
