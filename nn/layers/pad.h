#pragma once
#include <algorithm>

#include "lathe/core/ops/pad.h"
#include "lathe/nn/module.h"

namespace lathe::nn {

struct PadOptions {
    ops::Padding padding{};
    double value = 0;
};

// A border around an image.   x [N, H, W, C]  ->  y [N, top + H + bottom, left + W + right, C]. Error: negative
// padding.
class Pad : public Module {
public:
    using Options = PadOptions;
    explicit Pad(const Options& options) : options_(options) {
        const ops::Padding& p = options.padding;
        check(std::min({p.top, p.bottom, p.left, p.right}) >= 0, "pad: expected padding of at least 0");
    }

private:
    Variable forward(const Variable& x) override { return ops::pad(x, options_.padding, options_.value); }

    Options options_;
};

}  // namespace lathe::nn
