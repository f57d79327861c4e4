#pragma once
#include "lathe/nn/module.h"

namespace lathe::nn {

struct LayerNormOptions {
    int64_t features = 0;
    double eps = 1e-5;
};

// ops::layer_norm with its weight and bias [features].   x [..., features]  ->  y, the same shape
// Error: features below 1, eps not above 0.
class LayerNorm : public Module {
public:
    using Options = LayerNormOptions;
    explicit LayerNorm(const Options& options);

    Parameter weight, bias;

private:
    Variable forward(const Variable& x) override;

    double eps_;
};

}  // namespace lathe::nn
