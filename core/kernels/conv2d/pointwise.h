#pragma once
#include "lathe/core/kernels/conv2d/shape.h"
#include "lathe/core/kernels/gemm/panels.h"

// A 1x1 convolution is a matrix product over the pixels: y [pixels, K] = x [pixels, C] W^T [C, K].
namespace lathe::kernels::pointwise {

bool suits(const Conv2dShape& shape, Conv2dPass pass);

std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight);
std::unique_ptr<PreparedConv2d> prepare_indexed(const Conv2dShape& shape, const IndexedWeight& weight);
void forward(const Conv2dShape& shape, const float* x, const float* weight, const Epilogue& end, float* y);
void backward_input(const Conv2dShape& shape, const float* dy, const float* weight, float* dx);
void backward_weight(const Conv2dShape& shape, const float* x, const float* dy, float* dweight);

}  // namespace lathe::kernels::pointwise
