#pragma once
#include "lathe/nn/model.h"

namespace lathe::nn::models {

// ResNet-20 for CIFAR-10 (He et al. 2015, arXiv 1512.03385, section 4.2): three stages of three blocks, shortcuts
// without parameters (option A). 32x32x3 and 10 classes unless told otherwise: 269,722 parameters, 40,551,040 MACs.
// widths: the three stages, none smaller than the one before.
Model resnet20(const ModelOptions& options = {});

}  // namespace lathe::nn::models
