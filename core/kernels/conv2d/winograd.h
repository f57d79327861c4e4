#pragma once
#include "lathe/core/kernels/conv2d/shape.h"

// Convolution by Winograd's F(4x4, 3x3) (Lavin & Gray 2015, arXiv 1509.09308): tiles of 4x4 results become 36
// independent matrix products [tiles, C] x [C, K], a quarter of the multiplications of the plain definition. Rounding
// errors grow by about ten times over the plain sum (tests/core/kernels/conv2d/conv2d_test.cpp holds the bound).
namespace lathe::kernels::winograd {

// Whether the shape gains: 3x3, stride 1, enough channels, and maps that 4x4 tiles cover without much waste. Where it
// says no the functions below must not be called.
bool suits(const Conv2dShape& shape, Conv2dPass pass);

std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight);
void backward_input(const Conv2dShape& shape, const float* dy, const float* weight, float* dx);
void backward_weight(const Conv2dShape& shape, const float* x, const float* dy, float* dweight);

}  // namespace lathe::kernels::winograd
