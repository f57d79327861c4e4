#pragma once
#include "lathe/nn/module.h"

namespace lathe::nn {

struct LinearOptions {
    int64_t in = 0;
    int64_t out = 0;
    bool bias = true;
    int64_t pixels = 1;  // behind a flattened image: its height x width, so that files keep PyTorch's order of inputs
};

// ops::linear with its weight [out, in] and bias [out].   x [..., in]  ->  y [..., out]
// Error: sizes below 1, or pixels that do not divide `in`.
class Linear : public Module {
public:
    using Options = LinearOptions;
    explicit Linear(const Options& options);

    Parameter weight, bias;

private:
    Variable forward(const Variable& x) override;
};

}  // namespace lathe::nn
