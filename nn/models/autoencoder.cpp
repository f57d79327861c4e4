#include "lathe/nn/models/autoencoder.h"

#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/nn/models/options.h"

namespace lathe::nn::models {

namespace {
constexpr size_t kMiddle = 4;
}  // namespace

Model autoencoder(const ModelOptions& options) {
    static const std::string name = "autoencoder";
    const PathScope scope(name);
    const ModelOptions o = complete(options, {.input = {640}});
    auto width = channels(o, {128, 128, 128, 128, 8, 128, 128, 128, 128});
    if (o.widths.empty()) width[kMiddle] = 8;

    auto net = std::make_unique<Sequential>();
    int64_t in = o.input[0];
    for (size_t i = 0; i < width.size(); ++i) {
        const std::string index = std::to_string(i);
        net->add<Linear>("fc" + index, {.in = in, .out = width[i]});
        net->add<BatchNorm>("bn" + index,
                            {.channels = width[i], .eps = kKerasBatchNormEps, .activation = Activation::relu});
        in = width[i];
    }
    net->add<Linear>("out", {.in = in, .out = o.input[0]});
    return Model(name, o, std::move(net));
}

}  // namespace lathe::nn::models
