#include "lathe/nn/blocks/conv_bn.h"

#include "lathe/nn/layers/batch_norm.h"

namespace lathe::nn {

void add_conv_bn(Sequential& to, const std::string& name, const Conv2dOptions& conv, Activation activation,
                 double eps) {
    Sequential& group = to.add<Sequential>(name);
    group.add<Conv2d>("0", conv);
    group.add<BatchNorm>("1", {.channels = conv.out, .eps = eps, .activation = activation});
}

}  // namespace lathe::nn
