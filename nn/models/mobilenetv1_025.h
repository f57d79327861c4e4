#pragma once
#include "lathe/nn/model.h"

namespace lathe::nn::models {

// The person detection network of MLPerf Tiny (Banbury et al. 2021, arXiv 2106.07597): MobileNet (Howard et al. 2017,
// arXiv 1704.04861) at a quarter of its width, every convolution with bias. 96x96x3 and 2 classes unless told
// otherwise: 216,322 parameters (221,794 as Keras counts them, with the running statistics), 7,489,664 MACs. widths:
// the first convolution and the thirteen separable ones; width multiplies the quarter.
Model mobilenetv1_025(const ModelOptions& options = {});

}  // namespace lathe::nn::models
