#pragma once
#include <memory>

#include "lathe/nas/elastic/supernet.h"
#include "lathe/nn/blocks/conv_bn.h"
#include "lathe/nn/blocks/inverted_residual.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pool2d.h"

namespace lathe::testing {

// The elastic network of nas/README.md: 2,322 subnets of ordinary blocks.
inline std::unique_ptr<nas::Supernet> own_supernet() {
    auto net = std::make_unique<nn::Sequential>();
    nn::add_conv_bn(*net, "stem", {.in = 3, .out = 16, .kernel = 3, .stride = 2, .padding = 1, .bias = false},
                    Activation::relu6);
    auto& blocks = net->add<nn::Sequential>("blocks");
    for (int i = 0; i < 3; ++i)
        blocks.add<nn::InvertedResidual>(std::to_string(i), {.in = 16, .out = 16, .expanded = 64, .kernel = 5});
    net->add<nn::GlobalAvgPool>("pool");
    net->add<nn::Linear>("fc", {.in = 16, .out = 10});
    auto model = std::make_unique<nn::Model>("mine", nn::ModelOptions{.classes = 10, .input = {32, 32, 3}},
                                             std::move(net));

    auto supernet = std::make_unique<nas::Supernet>(std::move(model));
    supernet->image_size({24, 28, 32});
    supernet->width("stem.0", {8, 12, 16});  // whatever is added to the stem's channels follows
    supernet->depth("blocks", {1, 2, 3});
    for (int i = 0; i < 3; ++i) {
        const std::string block = "blocks." + std::to_string(i) + ".conv.";
        supernet->expansion(block + "0.0", {32, 48, 64});
        supernet->kernel(block + "1.0", {3, 5});
    }
    return supernet;
}

}  // namespace lathe::testing
