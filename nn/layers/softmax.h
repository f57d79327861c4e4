#pragma once
#include "lathe/core/ops/softmax.h"
#include "lathe/nn/module.h"

namespace lathe::nn {

// Along the last axis. Losses take logits, so a classifier that is trained does not end in one.
class Softmax : public Module {
    Variable forward(const Variable& x) override { return ops::softmax(x); }
};

}  // namespace lathe::nn
