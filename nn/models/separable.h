#pragma once
#include "lathe/nn/layers/sequential.h"

namespace lathe::nn::models {

// Adds a depthwise separable convolution as the MLPerf Tiny references build it in Keras: depthwise 3x3 and pointwise,
// each with bias, batch norm and ReLU, padded as TensorFlow does. Its layers are depthwise, bn1, pointwise, bn2.
void add_separable(Sequential& to, const std::string& name, int64_t in, int64_t out, int64_t stride);

}  // namespace lathe::nn::models
