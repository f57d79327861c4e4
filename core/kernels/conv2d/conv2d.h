#pragma once
#include <memory>

#include "lathe/core/kernels/conv2d/shape.h"

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

}  // namespace lathe::kernels
