#pragma once
#include "lathe/core/kernels/conv2d/shape.h"
#include "lathe/core/kernels/gemm/panels.h"

// Convolution of few pixels as one matrix product of their copied patches (Chellapilla et al. 2006): every weight is
// read once for all of them, where the direct kernel would read it for each row. Forward only.
namespace lathe::kernels::im2col {

// Whether the shape gains: so few pixels that reading the weights takes longer than copying patches.
bool suits(const Conv2dShape& shape, Conv2dPass pass);

std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight);
std::unique_ptr<PreparedConv2d> prepare_indexed(const Conv2dShape& shape, const IndexedWeight& weight);
void forward(const Conv2dShape& shape, const float* x, const float* weight, const Epilogue& end, float* y);

}  // namespace lathe::kernels::im2col
