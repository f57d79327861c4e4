#pragma once
#include "lathe/core/kernels/conv2d/shape.h"

// Convolution with images side by side in a vector's lanes, for fewer result channels than a vector has lanes: maps are
// turned to [H, W, C, images] and back, each weight is one broadcast value, every lane works, and taps beyond the
// border are left out instead of multiplied by zeros. Turning takes about four cycles a vector, so it must be small
// beside the products.
namespace lathe::kernels::images {

// Forward and the gradient of the input, where their results have few channels.
bool suits(const Conv2dShape& shape, Conv2dPass pass);

std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight);
void backward_input(const Conv2dShape& shape, const float* dy, const float* weight, float* dx);

}  // namespace lathe::kernels::images
