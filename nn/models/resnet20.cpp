#include "lathe/nn/models/resnet20.h"

#include "lathe/nn/init.h"
#include "lathe/nn/blocks/basic_block.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pool2d.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/nn/models/options.h"

namespace lathe::nn::models {

Model resnet20(const ModelOptions& options) {
    static const std::string name = "resnet20";
    const PathScope scope(name);
    const ModelOptions o = complete(options, {.classes = 10, .input = {32, 32, 3}});
    const auto width = channels(o, {16, 32, 64});

    auto net = std::make_unique<Sequential>();
    net->add<Conv2d>("conv1", {.in = o.input[2], .out = width[0], .kernel = 3, .padding = 1, .bias = false});
    net->add<BatchNorm>("bn1", {.channels = width[0], .activation = Activation::relu});
    int64_t in = width[0];
    for (int stage = 0; stage < 3; ++stage) {
        Sequential& layer = net->add<Sequential>("layer" + std::to_string(stage + 1));
        for (int block = 0; block < 3; ++block) {
            layer.add<BasicBlock>(std::to_string(block),
                                  {.in = in, .out = width[stage], .stride = stage > 0 && block == 0 ? 2 : 1});
            in = width[stage];
        }
    }
    net->add<GlobalAvgPool>("pool");
    net->add<Linear>("fc", {.in = in, .out = o.classes});
    init::he_normal(*net, init::Fan::out);
    return Model(name, o, std::move(net));
}

}  // namespace lathe::nn::models
