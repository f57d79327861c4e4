#pragma once
#include "lathe/core/activation.h"
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

struct BatchNormOptions {
    bool training = true;      // normalise with the batch's statistics, not the running ones
    double momentum = 0.1;     // running = (1 - momentum) running + momentum batch
    double eps = 1e-5;
    Activation activation = Activation::none;  // applied to the result: none, relu, relu6 or hard_swish
};

// Batch normalisation over the last axis (Ioffe & Szegedy 2015, arXiv 1502.03167), as PyTorch does it:
//   y = activation((x - mean) / sqrt(var + eps) weight + bias).
// x [N, C] or [N, H, W, C]; weight and bias [C], each may be empty (ones, zeros); running_mean and running_var [C],
// both empty or neither, are overwritten when training (variance with N H W - 1 in its denominator). The activation is
// part of the op so that forward and backward each read and write every element as few times as possible; backward
// keeps x only. Error: lengths differ from C, one value a channel when training, no running statistics when not.
Variable batch_norm(const Variable& x, const Variable& weight, const Variable& bias, Variable running_mean,
                    Variable running_var, const BatchNormOptions& options = {});

}  // namespace lathe::ops
