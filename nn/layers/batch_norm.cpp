#include "lathe/nn/layers/batch_norm.h"

#include "lathe/core/ops/batch_norm.h"

namespace lathe::nn {

BatchNorm::BatchNorm(const Options& o) : options_(o) {
    check(o.channels >= 1, "batch_norm: expected at least 1 channel, got ", o.channels);
    check(o.eps > 0, "batch_norm: expected eps above 0, got ", o.eps);
    check(o.momentum >= 0 && o.momentum <= 1, "batch_norm: expected momentum between 0 and 1, got ", o.momentum);
    check(o.activation == Activation::none || o.activation == Activation::relu || o.activation == Activation::relu6 ||
              o.activation == Activation::hard_swish,
          "batch_norm: expected the activation none, relu, relu6 or hard_swish, got ", name_of(o.activation));
    weight = Parameter(Tensor::full({o.channels}, 1));
    bias = Parameter(Tensor::zeros({o.channels}));
    running_mean = Tensor::zeros({o.channels});
    running_var = Tensor::full({o.channels}, 1);
    parameter("weight", weight);
    parameter("bias", bias);
    buffer("running_mean", running_mean);
    buffer("running_var", running_var);
}

Variable BatchNorm::forward(const Variable& x) {
    // What is frozen computes what it did: its statistics stand still, too.
    return ops::batch_norm(x, weight.effective(), bias.effective(), running_mean, running_var,
                           {.training = training() && weight.trainable(),
                            .momentum = options_.momentum,
                            .eps = options_.eps,
                            .activation = options_.activation});
}

}  // namespace lathe::nn
