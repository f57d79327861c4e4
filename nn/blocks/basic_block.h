#pragma once
#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/conv2d.h"

namespace lathe::nn {

// How x joins the sum in a block whose output is smaller or has more channels.
enum class Shortcut {
    subsample,   // "option A": every stride-th pixel, zeros for the new channels, half of them in front of the old ones
    projection,  // a 1x1 convolution, `downsample`
};

struct BasicBlockOptions {
    int64_t in = 0;
    int64_t out = 0;
    int64_t stride = 1;
    int64_t inner = 0;   // channels between the two convolutions; 0: `out`
    Shortcut shortcut = Shortcut::subsample;
    bool bias = false;   // of the convolutions
    bool same = false;   // pads as TensorFlow does, else one pixel all around
    double eps = 1e-5;   // of the batch norms
};

// The residual block of two 3x3 convolutions (He et al. 2015, arXiv 1512.03385):
//   y = relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)).
// x [N, H, W, in]  ->  y [N, ceil(H / stride), ceil(W / stride), out].   Error: sizes below 1, or fewer channels out
// than in with Shortcut::subsample.
class BasicBlock : public Module {
public:
    using Options = BasicBlockOptions;
    explicit BasicBlock(const Options& options);

private:
    Variable forward(const Variable& x) override;
    Variable shortcut(const Variable& x, const Variable& like);

    Options options_;
    Conv2d conv1_, conv2_;
    BatchNorm bn1_, bn2_;
    std::unique_ptr<Conv2d> downsample_;
};

}  // namespace lathe::nn
