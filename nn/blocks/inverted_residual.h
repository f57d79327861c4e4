#pragma once
#include "lathe/core/activation.h"
#include "lathe/nn/layers/sequential.h"

namespace lathe::nn {

struct InvertedResidualOptions {
    int64_t in = 0;
    int64_t out = 0;
    int64_t expanded = 0;  // channels of the depthwise convolution; `in`: nothing to expand
    int64_t kernel = 3;    // odd
    int64_t stride = 1;
    Activation activation = Activation::relu6;  // relu, relu6 or hard_swish
    int64_t squeezed = 0;                       // channels inside a SqueezeExcite behind the depthwise one; 0: none
    Activation squeeze = Activation::relu;      // the activation in there
    double eps = 1e-5;                          // of the batch norms
};

// The block of MobileNetV2 (Sandler et al. 2018, arXiv 1801.04381): 1x1 expansion, depthwise convolution, 1x1
// projection, each with batch norm, the last without activation; plus x where stride is 1 and `in` equals `out`. With
// SqueezeExcite and hard_swish that of MobileNetV3 (Howard et al. 2019, arXiv 1905.02244). Parameters carry
// torchvision's names. x [N, H, W, in]  ->  y [N, ceil(H / stride), ceil(W / stride), out].   Error: sizes below 1, an
// even kernel.
class InvertedResidual : public Module {
public:
    using Options = InvertedResidualOptions;
    explicit InvertedResidual(const Options& options);

private:
    Variable forward(const Variable& x) override;

    bool residual_;
    Sequential conv_;
};

}  // namespace lathe::nn
