#include "lathe/nn/models/separable.h"

#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/models/options.h"

namespace lathe::nn::models {

void add_separable(Sequential& to, const std::string& name, int64_t in, int64_t out, int64_t stride) {
    Sequential& block = to.add<Sequential>(name);
    block.add<Conv2d>("depthwise", {.in = in, .out = in, .kernel = 3, .stride = stride, .same = true, .groups = in});
    block.add<BatchNorm>("bn1", {.channels = in, .eps = kKerasBatchNormEps, .activation = Activation::relu});
    block.add<Conv2d>("pointwise", {.in = in, .out = out});
    block.add<BatchNorm>("bn2", {.channels = out, .eps = kKerasBatchNormEps, .activation = Activation::relu});
}

}  // namespace lathe::nn::models
