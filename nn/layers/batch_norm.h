#pragma once
#include "lathe/core/activation.h"
#include "lathe/nn/module.h"

namespace lathe::nn {

struct BatchNormOptions {
    int64_t channels = 0;
    double eps = 1e-5;
    double momentum = 0.1;                      // of the newest batch in the running statistics
    Activation activation = Activation::none;  // applied to the result in the same pass over memory
};

// ops::batch_norm with its weight, bias, running_mean and running_var [C].   x [N, C] or [N, H, W, C]  ->  y, the same
// shape. Error: channels below 1, eps not above 0, momentum outside [0, 1], an activation that ops::batch_norm lacks.
class BatchNorm : public Module {
public:
    using Options = BatchNormOptions;
    explicit BatchNorm(const Options& options);

    Parameter weight, bias;
    Tensor running_mean, running_var;

    // Of the newest batch in the running statistics, from now on: 1 / k at batch k makes them the mean of all.
    void set_momentum(double momentum) { options_.momentum = momentum; }
    double momentum() const { return options_.momentum; }

private:
    Variable forward(const Variable& x) override;

    Options options_;
};

}  // namespace lathe::nn
