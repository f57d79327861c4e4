#pragma once
#include "lathe/core/ops/conv2d.h"
#include "lathe/nn/module.h"

namespace lathe::nn {

struct Conv2dOptions {
    int64_t in = 0;
    int64_t out = 0;
    ops::Pair kernel{};
    ops::Pair stride{};
    ops::Padding padding{};
    bool same = false;  // instead of padding: as TensorFlow's SAME, so that the output has ceil(input / stride) pixels
    ops::Pair dilation{};
    int64_t groups = 1;  // `in` for a depthwise convolution
    bool bias = true;
};

// ops::conv2d with its weight [out, kh, kw, in / groups] and bias [out].   x [N, H, W, in]  ->  y [N, P, Q, out]
// Padding follows a kernel whose transforms leave its centre alone, so that y keeps its size.
// Error: sizes below 1, negative padding, channels that groups do not divide.
class Conv2d : public Module {
public:
    using Options = Conv2dOptions;
    explicit Conv2d(const Options& options);

    Parameter weight, bias;

private:
    Variable forward(const Variable& x) override;

    Options options_;
};

}  // namespace lathe::nn
