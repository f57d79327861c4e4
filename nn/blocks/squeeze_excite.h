#pragma once
#include "lathe/core/activation.h"
#include "lathe/nn/layers/conv2d.h"

namespace lathe::nn {

struct SqueezeExciteOptions {
    int64_t channels = 0;
    int64_t squeezed = 0;  // channels between the two convolutions
    Activation activation = Activation::relu;
    Activation gate = Activation::sigmoid;
};

// Squeeze-and-excitation (Hu et al. 2018, arXiv 1709.01507): scales every channel by a gate that follows from the means
// of all,   y = x gate(fc2(activation(fc1(mean x)))).   x [N, H, W, C]  ->  y, the same shape.
class SqueezeExcite : public Module {
public:
    using Options = SqueezeExciteOptions;
    explicit SqueezeExcite(const Options& options);

private:
    Variable forward(const Variable& x) override;

    Options options_;
    Conv2d fc1_, fc2_;
};

}  // namespace lathe::nn
