#pragma once
#include "lathe/nn/model.h"

namespace lathe::nn::models {

// The image classification network of MLPerf Tiny (Banbury et al. 2021, arXiv 2106.07597): three residual blocks whose
// shortcuts are 1x1 convolutions, every convolution with bias. 32x32x3 and 10 classes unless told otherwise: 78,186
// parameters (78,666 as Keras counts them, with the running statistics), 12,501,632 MACs. widths: the three blocks.
Model resnet8(const ModelOptions& options = {});

}  // namespace lathe::nn::models
