#include "lathe/nn/models/vgg_cifar.h"

#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pool2d.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/nn/models/options.h"

namespace lathe::nn::models {

Model vgg_cifar(const ModelOptions& options) {
    static const std::string name = "vgg-cifar";
    const PathScope scope(name);
    const ModelOptions o = complete(options, {.classes = 10, .input = {32, 32, 3}}, 16);
    const auto width = channels(o, {64, 128, 256, 256, 512, 512, 512, 512});

    auto net = std::make_unique<Sequential>();
    Sequential& backbone = net->add<Sequential>("backbone");
    int64_t in = o.input[2];
    for (size_t i = 0; i < width.size(); ++i) {
        const std::string index = std::to_string(i);
        backbone.add<Conv2d>("conv" + index, {.in = in, .out = width[i], .kernel = 3, .padding = 1, .bias = false});
        backbone.add<BatchNorm>("bn" + index, {.channels = width[i], .activation = Activation::relu});
        if (i % 2 == 1) backbone.add<MaxPool2d>("pool" + std::to_string(i / 2), {.kernel = 2});
        in = width[i];
    }
    net->add<GlobalAvgPool>("pool");
    net->add<Linear>("classifier", {.in = in, .out = o.classes});
    return Model(name, o, std::move(net));
}

}  // namespace lathe::nn::models
