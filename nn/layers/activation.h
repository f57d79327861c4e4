#pragma once
#include "lathe/core/activation.h"
#include "lathe/core/ops/activation.h"
#include "lathe/nn/module.h"

namespace lathe::nn {

// An activation as a layer of its own, element by element. Behind a BatchNorm, its `activation` option does the same in
// one pass over memory.
template <Activation kind>
class ActivationLayer : public Module {
    Variable forward(const Variable& x) override { return ops::activation(x, kind); }
};

using ReLU = ActivationLayer<Activation::relu>;
using ReLU6 = ActivationLayer<Activation::relu6>;
using HardSwish = ActivationLayer<Activation::hard_swish>;
using HardSigmoid = ActivationLayer<Activation::hard_sigmoid>;
using Sigmoid = ActivationLayer<Activation::sigmoid>;
using Tanh = ActivationLayer<Activation::tanh>;
using GELU = ActivationLayer<Activation::gelu>;

}  // namespace lathe::nn
