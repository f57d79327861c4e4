#include "lathe/nn/models/mobilenetv1_025.h"

#include "lathe/nn/init.h"
#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pool2d.h"
#include "lathe/nn/models/options.h"
#include "lathe/nn/models/separable.h"

namespace lathe::nn::models {

Model mobilenetv1_025(const ModelOptions& options) {
    static const std::string name = "mobilenetv1-025";
    const PathScope scope(name);
    const ModelOptions o = complete(options, {.classes = 2, .input = {96, 96, 3}});
    const auto width = channels(o, {8, 16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256});
    constexpr int64_t kStride[] = {2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1};

    auto net = std::make_unique<Sequential>();
    net->add<Conv2d>("conv1", {.in = o.input[2], .out = width[0], .kernel = 3, .stride = kStride[0], .same = true});
    net->add<BatchNorm>("bn1", {.channels = width[0], .eps = kKerasBatchNormEps, .activation = Activation::relu});
    Sequential& blocks = net->add<Sequential>("blocks");
    for (size_t i = 1; i < width.size(); ++i)
        add_separable(blocks, std::to_string(i - 1), width[i - 1], width[i], kStride[i]);
    net->add<GlobalAvgPool>("pool");
    net->add<Linear>("fc", {.in = width.back(), .out = o.classes});
    init::he_normal(*net, init::Fan::in);
    return Model(name, o, std::move(net));
}

}  // namespace lathe::nn::models
