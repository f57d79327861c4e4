#pragma once
#include "lathe/nn/model.h"

namespace lathe::nn::models {

// The keyword spotting network of MLPerf Tiny (Banbury et al. 2021, arXiv 2106.07597; after Zhang et al. 2017,
// arXiv 1711.07128): one convolution and four depthwise separable ones. 49x10x1 and 12 classes unless told otherwise:
// 23,756 parameters (24,908 as Keras counts them, with the running statistics), 2,656,768 MACs.
// dropout: 0.4 before the classifier, half of it behind the first convolution. widths: the five convolutions.
Model ds_cnn(const ModelOptions& options = {});

}  // namespace lathe::nn::models
