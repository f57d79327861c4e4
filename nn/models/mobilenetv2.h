#pragma once
#include "lathe/nn/model.h"

namespace lathe::nn::models {

// MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381) under torchvision's names. 224x224x3 and 1000 classes unless told
// otherwise: 3,504,872 parameters, 300,774,272 MACs. Images with a side below 64 pixels go through the first
// convolution and the stage of 24 channels at stride 1: 88.0 million MACs at 32x32 with 10 classes. Dropout 0.2 before
// the classifier. width: channels are rounded to multiples of 8, the last convolution keeps 1280 below width 1. widths:
// the first convolution, the seven stages, the last convolution.
Model mobilenetv2(const ModelOptions& options = {});

}  // namespace lathe::nn::models
