#pragma once
#include "lathe/core/ops/reshape.h"
#include "lathe/nn/module.h"

namespace lathe::nn {

// x [N, ...]  ->  y [N, rest]; an image's elements keep their order (h, w, c).
class Flatten : public Module {
    Variable forward(const Variable& x) override { return ops::flatten(x); }
};

}  // namespace lathe::nn
