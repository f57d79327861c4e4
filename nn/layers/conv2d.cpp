#include "lathe/nn/layers/conv2d.h"

#include <algorithm>

#include "lathe/nn/init.h"

namespace lathe::nn {

namespace {

// One axis of TensorFlow's SAME padding: what is missing for ceil(size / stride) windows, the odd pixel at the end.
std::pair<int64_t, int64_t> same_padding(int64_t size, int64_t kernel, int64_t stride, int64_t dilation) {
    const int64_t windows = (size + stride - 1) / stride;
    const int64_t missing = std::max<int64_t>(0, (windows - 1) * stride + dilation * (kernel - 1) + 1 - size);
    return {missing / 2, missing - missing / 2};
}

}  // namespace

Conv2d::Conv2d(const Options& o) : options_(o) {
    check(o.in >= 1 && o.out >= 1, "conv2d: expected at least 1 input and output channel, got ", o.in, " and ", o.out);
    check(o.kernel.h >= 1 && o.kernel.w >= 1, "conv2d: expected a kernel of at least 1x1, got ", o.kernel.h, "x",
          o.kernel.w);
    check(o.stride.h >= 1 && o.stride.w >= 1 && o.dilation.h >= 1 && o.dilation.w >= 1,
          "conv2d: expected stride and dilation of at least 1");
    check(std::min({o.padding.top, o.padding.bottom, o.padding.left, o.padding.right}) >= 0,
          "conv2d: expected padding of at least 0");
    check(o.groups >= 1 && o.in % o.groups == 0 && o.out % o.groups == 0, "conv2d: expected groups that divide ", o.in,
          " input and ", o.out, " output channels, got ", o.groups);
    const int64_t per_group = o.in / o.groups, fan_in = o.kernel.h * o.kernel.w * per_group;
    weight =
        Parameter(init::fan_in_uniform({o.out, o.kernel.h, o.kernel.w, per_group}, fan_in), {.kind = FileOrder::conv});
    parameter("weight", weight);
    if (o.bias) bias = Parameter(init::fan_in_uniform({o.out}, fan_in));
    parameter("bias", bias);
}

Variable Conv2d::forward(const Variable& x) {
    check(x.value().rank() == 4, "conv2d: expected x [N, H, W, C], got ", x.shape());
    const Variable w = weight.effective();
    ops::Conv2dOptions o{.stride = options_.stride, .padding = options_.padding, .dilation = options_.dilation};
    // Taps that a transform took from the rim of the kernel need no padding: the output keeps its size.
    const int64_t rim_h = (weight.shape()[1] - w.dim(1)) / 2 * o.dilation.h;
    const int64_t rim_w = (weight.shape()[2] - w.dim(2)) / 2 * o.dilation.w;
    o.padding = {o.padding.top - rim_h, o.padding.bottom - rim_h, o.padding.left - rim_w, o.padding.right - rim_w};
    if (options_.groups > 1) o.groups = std::max<int64_t>(1, x.dim(3) / w.dim(3));  // channels may have been pruned
    if (options_.same) {
        const auto [top, bottom] = same_padding(x.dim(1), w.dim(1), o.stride.h, o.dilation.h);
        const auto [left, right] = same_padding(x.dim(2), w.dim(2), o.stride.w, o.dilation.w);
        o.padding = {top, bottom, left, right};
    }
    return ops::conv2d(x, w, bias.effective(), o);
}

}  // namespace lathe::nn
