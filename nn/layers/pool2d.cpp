#include "lathe/nn/layers/pool2d.h"

#include <algorithm>

namespace lathe::nn {

namespace {

void check_window(const char* layer, ops::Pair kernel, std::optional<ops::Pair> stride, const ops::Padding& padding) {
    check(kernel.h >= 1 && kernel.w >= 1, layer, ": expected a kernel of at least 1x1, got ", kernel.h, "x", kernel.w);
    check(!stride || (stride->h >= 1 && stride->w >= 1), layer, ": expected a stride of at least 1");
    check(std::min({padding.top, padding.bottom, padding.left, padding.right}) >= 0 &&
              std::max(padding.top, padding.bottom) < kernel.h && std::max(padding.left, padding.right) < kernel.w,
          layer, ": expected padding of at least 0 and smaller than the kernel");
}

}  // namespace

MaxPool2d::MaxPool2d(const Options& o) : options_(o) { check_window("max_pool2d", o.kernel, o.stride, o.padding); }

Variable MaxPool2d::forward(const Variable& x) {
    return ops::max_pool2d(x, options_.kernel, {.stride = options_.stride, .padding = options_.padding});
}

AvgPool2d::AvgPool2d(const Options& o) : options_(o) { check_window("avg_pool2d", o.kernel, o.stride, o.padding); }

Variable AvgPool2d::forward(const Variable& x) {
    return ops::avg_pool2d(x, options_.kernel, {.stride = options_.stride, .padding = options_.padding,
                                                .count_include_pad = options_.count_include_pad});
}

}  // namespace lathe::nn
