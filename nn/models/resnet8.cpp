#include "lathe/nn/models/resnet8.h"

#include "lathe/nn/init.h"
#include "lathe/nn/blocks/basic_block.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pool2d.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/nn/models/options.h"

namespace lathe::nn::models {

Model resnet8(const ModelOptions& options) {
    static const std::string name = "resnet8";
    const PathScope scope(name);
    const ModelOptions o = complete(options, {.classes = 10, .input = {32, 32, 3}});
    const auto width = channels(o, {16, 32, 64});

    auto net = std::make_unique<Sequential>();
    net->add<Conv2d>("conv1", {.in = o.input[2], .out = width[0], .kernel = 3, .same = true});
    net->add<BatchNorm>("bn1", {.channels = width[0], .eps = kKerasBatchNormEps, .activation = Activation::relu});
    int64_t in = width[0];
    for (size_t i = 0; i < width.size(); ++i) {
        net->add<BasicBlock>("layer" + std::to_string(i + 1),
                             {.in = in, .out = width[i], .stride = i == 0 ? 1 : 2, .shortcut = Shortcut::projection,
                              .bias = true, .same = true, .eps = kKerasBatchNormEps});
        in = width[i];
    }
    net->add<GlobalAvgPool>("pool");
    net->add<Linear>("fc", {.in = in, .out = o.classes});
    init::he_normal(*net, init::Fan::in);
    return Model(name, o, std::move(net));
}

}  // namespace lathe::nn::models
