#include "lathe/nn/blocks/inverted_residual.h"

#include "lathe/core/ops/add.h"
#include "lathe/nn/blocks/conv_bn.h"
#include "lathe/nn/blocks/squeeze_excite.h"
#include "lathe/nn/layers/batch_norm.h"

namespace lathe::nn {

InvertedResidual::InvertedResidual(const Options& o) : residual_(o.stride == 1 && o.in == o.out) {
    check(o.kernel >= 1 && o.kernel % 2 == 1, "inverted_residual: expected an odd kernel, got ", o.kernel);
    int next = 0;
    auto name = [&] { return std::to_string(next++); };
    if (o.expanded != o.in)
        add_conv_bn(conv_, name(), {.in = o.in, .out = o.expanded, .bias = false}, o.activation, o.eps);
    add_conv_bn(conv_, name(),
                {.in = o.expanded, .out = o.expanded, .kernel = o.kernel, .stride = o.stride, .padding = o.kernel / 2,
                 .groups = o.expanded, .bias = false},
                o.activation, o.eps);
    if (o.squeezed)
        conv_.add<SqueezeExcite>("se", {.channels = o.expanded, .squeezed = o.squeezed, .activation = o.squeeze,
                                        .gate = Activation::hard_sigmoid});
    conv_.add<Conv2d>(name(), {.in = o.expanded, .out = o.out, .bias = false});
    conv_.add<BatchNorm>(name(), {.channels = o.out, .eps = o.eps});
    child("conv", conv_);
}

Variable InvertedResidual::forward(const Variable& x) {
    const Variable y = conv_(x);
    return residual_ ? ops::add(x, y) : y;
}

}  // namespace lathe::nn
