#pragma once
#include "lathe/core/ops/concat.h"
#include "lathe/core/ops/pool2d.h"
#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/layers/linear.h"

namespace lathe::testing {

// The network that the README describes in JSON, in C++.
class Branches : public nn::Module {
public:
    explicit Branches(int64_t classes, bool right_bias = true)
        : right_({.in = 16, .out = 16, .bias = right_bias}), fc_({.in = 32, .out = classes}) {
        child("conv1", conv1_);
        child("bn1", bn1_);
        child("left", left_);
        child("right", right_);
        child("fc", fc_);
    }

private:
    Variable forward(const Variable& x) override {
        const Variable y = bn1_(conv1_(x));
        return fc_(ops::global_avg_pool(ops::concat({left_(y), right_(y)}, -1)));
    }

    nn::Conv2d conv1_{{.in = 3, .out = 16, .kernel = 3, .padding = 1}};
    nn::BatchNorm bn1_{{.channels = 16, .activation = Activation::relu}};
    nn::Conv2d left_{{.in = 16, .out = 16, .kernel = 3, .padding = 1, .groups = 4}};
    nn::Conv2d right_;
    nn::Linear fc_;
};

}  // namespace lathe::testing
