#pragma once
#include "lathe/nn/model.h"

namespace lathe::nn::models {

// The anomaly detection network of MLPerf Tiny (Banbury et al. 2021, arXiv 2106.07597): nine hidden layers of 128
// units, 8 in the middle, with batch norm and ReLU; the output has the size of the input. 640 unless told otherwise:
// 267,928 parameters (269,992 as Keras counts them, with the running statistics), 264,192 MACs. widths: the nine hidden
// layers; width leaves the middle at 8.
Model autoencoder(const ModelOptions& options = {});

}  // namespace lathe::nn::models
