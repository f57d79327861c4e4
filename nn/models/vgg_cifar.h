#pragma once
#include "lathe/nn/model.h"

namespace lathe::nn::models {

// VGG for CIFAR-10 as MIT's course 6.5940 prunes and quantizes it (after Simonyan & Zisserman 2014, arXiv 1409.1556):
// eight 3x3 convolutions with batch norm and ReLU, four poolings, the mean over the map, one linear layer.
// 32x32x3 and 10 classes unless told otherwise: 9,228,362 parameters, 605,754,368 MACs.
// widths: conv0 to conv7. Error: images below 16x16.
Model vgg_cifar(const ModelOptions& options = {});

}  // namespace lathe::nn::models
