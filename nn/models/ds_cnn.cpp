#include "lathe/nn/models/ds_cnn.h"

#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/layers/dropout.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pool2d.h"
#include "lathe/nn/models/options.h"
#include "lathe/nn/models/separable.h"

namespace lathe::nn::models {

Model ds_cnn(const ModelOptions& options) {
    static const std::string name = "ds-cnn";
    const PathScope scope(name);
    const ModelOptions o = complete(options, {.classes = 12, .input = {49, 10, 1}, .dropout = 0.4});
    const auto width = channels(o, {64, 64, 64, 64, 64});

    auto net = std::make_unique<Sequential>();
    net->add<Conv2d>("conv1", {.in = o.input[2], .out = width[0], .kernel = {10, 4}, .stride = 2, .same = true});
    net->add<BatchNorm>("bn1", {.channels = width[0], .eps = kKerasBatchNormEps, .activation = Activation::relu});
    net->add<Dropout>("dropout1", {.p = o.dropout / 2});
    Sequential& blocks = net->add<Sequential>("blocks");
    for (size_t i = 1; i < width.size(); ++i) add_separable(blocks, std::to_string(i - 1), width[i - 1], width[i], 1);
    net->add<Dropout>("dropout2", {.p = o.dropout});
    net->add<GlobalAvgPool>("pool");
    net->add<Linear>("fc", {.in = width.back(), .out = o.classes});
    return Model(name, o, std::move(net));
}

}  // namespace lathe::nn::models
