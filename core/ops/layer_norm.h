#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// Layer normalisation over the last axis (Ba et al. 2016, arXiv 1607.06450):
//   y = (x - mean) / sqrt(var + eps) weight + bias, mean and (biased) variance of each row on its own.
// x [..., C]; weight and bias [C], each may be empty (ones, zeros). Error: their lengths differ from C.
Variable layer_norm(const Variable& x, const Variable& weight = {}, const Variable& bias = {}, double eps = 1e-5);

}  // namespace lathe::ops
