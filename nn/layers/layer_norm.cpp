#include "lathe/nn/layers/layer_norm.h"

#include "lathe/core/ops/layer_norm.h"

namespace lathe::nn {

LayerNorm::LayerNorm(const Options& o) : eps_(o.eps) {
    check(o.features >= 1, "layer_norm: expected at least 1 feature, got ", o.features);
    check(o.eps > 0, "layer_norm: expected eps above 0, got ", o.eps);
    weight = Parameter(Tensor::full({o.features}, 1));
    bias = Parameter(Tensor::zeros({o.features}));
    parameter("weight", weight);
    parameter("bias", bias);
}

Variable LayerNorm::forward(const Variable& x) {
    return ops::layer_norm(x, weight.effective(), bias.effective(), eps_);
}

}  // namespace lathe::nn
