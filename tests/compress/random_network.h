#pragma once
#include "lathe/core/ops/add.h"
#include "lathe/core/ops/concat.h"
#include "lathe/core/ops/mul.h"
#include "lathe/core/ops/permute.h"
#include "lathe/core/ops/reshape.h"
#include "lathe/core/ops/slice.h"
#include "lathe/nn/layers/activation.h"
#include "lathe/nn/blocks/basic_block.h"
#include "lathe/nn/layers/flatten.h"
#include "lathe/nn/blocks/inverted_residual.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pool2d.h"
#include "lathe/nn/blocks/squeeze_excite.h"
#include "lathe/tests/nn/random_tensor.h"

namespace lathe::testing {

// Two convolutions of the same input, side by side.
struct RandomBranches : nn::Module {
    nn::Conv2d a, b;
    RandomBranches(int64_t in, int64_t out)
        : a({.in = in, .out = out, .kernel = 3, .padding = 1}), b({.in = in, .out = 2 * out}) {
        child("a", a), child("b", b);
    }
    Variable forward(const Variable& x) override { return ops::concat({a(x), ops::relu(b(x))}, 3); }
};

// Half of the channels through a convolution, the others past it (Ma et al. 2018, arXiv 1807.11164).
struct HalfSplit : nn::Module {
    nn::Conv2d conv;
    explicit HalfSplit(int64_t channels) : conv({.in = channels / 2, .out = channels / 2, .kernel = 3, .padding = 1}) {
        child("conv", conv);
    }
    Variable forward(const Variable& x) override {
        const auto halves = ops::split(x, {x.dim(3) / 2, x.dim(3) / 2}, 3);
        return ops::concat({halves[0], ops::relu(conv(halves[1]))}, 3);
    }
};

// Mixes the pixels of each channel apart from the others (Tolstikhin et al. 2021, arXiv 2105.01601), with a factor for
// each channel (Touvron et al. 2021, arXiv 2103.17239).
struct PixelMixing : nn::Module {
    nn::Linear mix;
    nn::Parameter factor;
    PixelMixing(int64_t channels, int64_t pixels)
        : mix({.in = pixels, .out = pixels}), factor(random_tensor({channels}, 1)) {
        child("mix", mix), parameter("factor", factor);
    }
    Variable forward(const Variable& x) override {
        const Variable tokens = ops::reshape(x, {x.dim(0), x.dim(1) * x.dim(2), x.dim(3)});
        const Variable mixed = ops::permute(mix(ops::permute(tokens, {0, 2, 1})), {0, 2, 1});
        return ops::add(x, ops::reshape(ops::mul(mixed, factor.effective()), {x.dim(0), x.dim(1), x.dim(2), -1}));
    }
};

// A small network on images [N, 8, 8, 3] with 5 outputs, its blocks drawn at random: plain, grouped and depthwise
// convolutions, residuals with and without more channels, branches, splits, squeeze-and-excitation, mixed pixels,
// pools. Norms have random statistics.
inline std::unique_ptr<nn::Sequential> random_network(uint64_t network_seed) {
    Random random(network_seed);
    seed(network_seed);
    auto net = std::make_unique<nn::Sequential>();
    int64_t channels = 8, pixels = 8;
    net->add<nn::Conv2d>("stem", {.in = 3, .out = channels, .kernel = 3, .padding = 1, .bias = false});
    net->add<nn::BatchNorm>("stem_bn", {.channels = channels, .activation = Activation::relu});
    for (int block = 0; block < 5; ++block) {
        const std::string name = "block" + std::to_string(block);
        switch (random.below(10)) {
            case 0:
                net->add<nn::Conv2d>(name, {.in = channels, .out = 12, .kernel = 3, .padding = 1});
                net->add<nn::BatchNorm>(name + "_bn", {.channels = channels = 12, .activation = Activation::relu6});
                break;
            case 1:
                net->add<nn::Conv2d>(name, {.in = channels, .out = channels, .kernel = 3, .padding = 1, .groups = 2});
                break;
            case 2:
                net->add<nn::Conv2d>(
                    name, {.in = channels, .out = 2 * channels, .kernel = 3, .padding = 1, .groups = channels});
                channels *= 2;
                break;
            case 3: net->add<nn::BasicBlock>(name, {.in = channels, .out = channels}); break;
            case 4: net->add<nn::BasicBlock>(name, {.in = channels, .out = channels + 6, .stride = pixels > 2 ? 2 : 1});
                channels += 6, pixels = pixels > 2 ? pixels / 2 : pixels;
                break;
            case 5: net->append(name, std::make_unique<RandomBranches>(channels, 4)), channels = 12; break;
            case 6: net->append(name, std::make_unique<HalfSplit>(channels)); break;
            case 9: net->append(name, std::make_unique<PixelMixing>(channels, pixels * pixels)); break;
            case 7: net->add<nn::SqueezeExcite>(name, {.channels = channels, .squeezed = 4}); break;
            case 8:
                net->add<nn::InvertedResidual>(name, {.in = channels, .out = channels, .expanded = 3 * channels,
                                                      .activation = Activation::hard_swish, .squeezed = 6});
                break;
        }
    }
    if (random.below(2)) {
        net->add<nn::MaxPool2d>("pool", {.kernel = 2});
        pixels /= 2;
        net->add<nn::Flatten>("flatten");
        net->add<nn::Linear>("fc1", {.in = channels * pixels * pixels, .out = 16, .pixels = pixels * pixels});
        net->add<nn::ReLU>("relu");
        net->add<nn::Linear>("fc2", {.in = 16, .out = 5});
    } else {
        net->add<nn::GlobalAvgPool>("pool");
        net->add<nn::Linear>("fc", {.in = channels, .out = 5});
    }
    uint64_t next = network_seed * 1000;
    for (const auto& [name, parameter] : net->named_parameters())
        if (parameter->value().rank() == 1) parameter->set_value(random_tensor(parameter->shape(), ++next));
    for (const auto& [name, buffer] : net->named_buffers()) {
        *buffer = random_tensor(buffer->shape(), ++next);
        if (name.ends_with("running_var"))
            for (int64_t i = 0; i < buffer->numel(); ++i)
                buffer->mutable_data<float>()[i] = 0.5f + std::abs(buffer->data<float>()[i]);
    }
    return net;
}

}  // namespace lathe::testing
