#pragma once
#include "lathe/nn/model.h"

namespace lathe::nn::models {

// LeNet-5 (LeCun et al. 1998, "Gradient-based learning applied to document recognition"), in its usual present form
// with ReLU and max pooling. 28x28x1 and 10 classes unless told otherwise: 61,706 parameters. widths: conv1, conv2,
// fc1, fc2. Error: images below 12x12.
Model lenet5(const ModelOptions& options = {});

}  // namespace lathe::nn::models
