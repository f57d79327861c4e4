#pragma once
#include <string>

#include "lathe/core/activation.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/layers/sequential.h"

namespace lathe::nn {

// Adds a convolution and its batch norm, as NAME.0 and NAME.1 (torchvision's names).
void add_conv_bn(Sequential& to, const std::string& name, const Conv2dOptions& conv, Activation activation,
                 double eps = 1e-5);

}  // namespace lathe::nn
