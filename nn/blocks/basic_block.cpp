#include "lathe/nn/blocks/basic_block.h"

#include "lathe/core/ops/add.h"
#include "lathe/core/ops/pad.h"
#include "lathe/core/ops/pool2d.h"

namespace lathe::nn {

namespace {

int64_t inner(const BasicBlockOptions& o) { return o.inner ? o.inner : o.out; }

Conv2dOptions conv3x3(const BasicBlockOptions& o, int64_t in, int64_t out, int64_t stride) {
    return {.in = in, .out = out, .kernel = 3, .stride = stride, .padding = 1, .same = o.same, .bias = o.bias};
}

}  // namespace

BasicBlock::BasicBlock(const Options& o)
    : options_(o),
      conv1_(conv3x3(o, o.in, inner(o), o.stride)),
      conv2_(conv3x3(o, inner(o), o.out, 1)),
      bn1_({.channels = inner(o), .eps = o.eps, .activation = Activation::relu}),
      bn2_({.channels = o.out, .eps = o.eps}) {
    child("conv1", conv1_);
    child("bn1", bn1_);
    child("conv2", conv2_);
    child("bn2", bn2_);
    if (o.shortcut == Shortcut::projection && (o.stride != 1 || o.in != o.out)) {
        downsample_ =
            std::make_unique<Conv2d>(Conv2dOptions{.in = o.in, .out = o.out, .stride = o.stride, .bias = o.bias});
        child("downsample", *downsample_);
    }
    check(downsample_ || o.out >= o.in, "basic_block: expected at least as many channels out as in (", o.in, "), got ",
          o.out);
}

Variable BasicBlock::shortcut(const Variable& x, const Variable& like) {
    if (downsample_) return (*downsample_)(x);
    const Variable y = options_.stride == 1 ? x : ops::avg_pool2d(x, 1, {.stride = options_.stride});
    return ops::pad_channels(y, like);
}

Variable BasicBlock::forward(const Variable& x) {
    const Variable y = bn2_(conv2_(bn1_(conv1_(x))));
    return ops::add(y, shortcut(x, y), Activation::relu);
}

}  // namespace lathe::nn
