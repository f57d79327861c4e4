#include "lathe/nn/blocks/inverted_residual.h"

#include "lathe/core/ops/add.h"
#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/blocks/squeeze_excite.h"

namespace lathe::nn {

namespace {

void add_conv_bn(Sequential& to, const Conv2dOptions& conv, const InvertedResidualOptions& o) {
    to.add<Conv2d>("0", conv);
    to.add<BatchNorm>("1", {.channels = conv.out, .eps = o.eps, .activation = o.activation});
}

}  // namespace

InvertedResidual::InvertedResidual(const Options& o) : residual_(o.stride == 1 && o.in == o.out) {
    check(o.kernel >= 1 && o.kernel % 2 == 1, "inverted_residual: expected an odd kernel, got ", o.kernel);
    int next = 0;
    auto name = [&] { return std::to_string(next++); };
    if (o.expanded != o.in)
        add_conv_bn(conv_.add<Sequential>(name()), {.in = o.in, .out = o.expanded, .bias = false}, o);
    add_conv_bn(conv_.add<Sequential>(name()),
                {.in = o.expanded, .out = o.expanded, .kernel = o.kernel, .stride = o.stride, .padding = o.kernel / 2,
                 .groups = o.expanded, .bias = false},
                o);
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
