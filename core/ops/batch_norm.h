#pragma once
#include "lathe/core/activation.h"
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

struct BatchNormOptions {
    bool training = true;      // normalise with the batch's statistics, not the running ones
    double momentum = 0.1;     // running = (1 - momentum) running + momentum batch
    double eps = 1e-5;
    Activation activation = Activation::none;  // applied to the result: none, relu, relu6 or hard_swish
    bool folded = false;       // x is what a layer makes of its weight times folded_factor: see below
};

// Batch normalisation over the last axis (Ioffe & Szegedy 2015, arXiv 1502.03167), as PyTorch does it:
//   y = activation((x - mean) / sqrt(var + eps) weight + bias).
// x [N, C] or [N, H, W, C]; weight and bias [C], each may be empty (ones, zeros); running_mean and running_var [C],
// both empty or neither, are overwritten when training (variance with N H W - 1 in its denominator). The activation is
// part of the op so that forward and backward each read and write every element as few times as possible; backward
// keeps x only. Error: lengths differ from C, one value a channel when training, no running statistics when not.
//
// With `folded` the norm behind a layer is simulated as it will be once it is folded into it (Jacob et al. 2017, arXiv
// 1712.05877, section 3.2; compress/quantize/folded_norm.h): the layer's weight was multiplied by a factor f for each
// channel, and x / f is normalised. With running statistics that is y = activation(x + bias - running_mean f).
// Backward takes f for a constant, as that of the weight does; together their gradients are those of the layer and the
// norm. Running statistics are needed and move in backward: until then f is what it was, also where forward runs again
// (recompute).
Variable batch_norm(const Variable& x, const Variable& weight, const Variable& bias, Variable running_mean,
                    Variable running_var, const BatchNormOptions& options = {});

// f = weight / sqrt(running_var + eps); a weight nearer to 0 than kLeastFoldedWeight counts as that, with its sign, for
// x is divided by f.
inline constexpr double kLeastFoldedWeight = 1e-6;
double folded_factor(double weight, double running_var, double eps);

}  // namespace lathe::ops
