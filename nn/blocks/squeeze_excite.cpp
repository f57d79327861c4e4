#include "lathe/nn/blocks/squeeze_excite.h"

#include "lathe/core/ops/activation.h"
#include "lathe/core/ops/mul.h"
#include "lathe/core/ops/pool2d.h"
#include "lathe/core/ops/reshape.h"

namespace lathe::nn {

SqueezeExcite::SqueezeExcite(const Options& o)
    : options_(o), fc1_({.in = o.channels, .out = o.squeezed}), fc2_({.in = o.squeezed, .out = o.channels}) {
    child("fc1", fc1_);
    child("fc2", fc2_);
}

Variable SqueezeExcite::forward(const Variable& x) {
    const Variable mean = ops::reshape(ops::global_avg_pool(x), {0, 1, 1, -1});
    const Variable squeezed = ops::activation(fc1_(mean), options_.activation);
    return ops::mul(x, ops::activation(fc2_(squeezed), options_.gate));
}

}  // namespace lathe::nn
