#include "lathe/nn/models/mobilenetv2.h"

#include <algorithm>

#include "lathe/nn/init.h"
#include "lathe/nn/blocks/conv_bn.h"
#include "lathe/nn/blocks/inverted_residual.h"
#include "lathe/nn/layers/dropout.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pool2d.h"
#include "lathe/nn/models/options.h"

namespace lathe::nn::models {

namespace {

struct Stage {
    int64_t expansion, blocks, stride;
};
constexpr Stage kStages[] = {{1, 1, 1}, {6, 2, 2}, {6, 3, 2}, {6, 4, 2}, {6, 3, 1}, {6, 3, 2}, {6, 1, 1}};

}  // namespace

Model mobilenetv2(const ModelOptions& options) {
    static const std::string name = "mobilenetv2";
    const PathScope scope(name);
    const ModelOptions o = complete(options, {.classes = 1000, .input = {224, 224, 3}, .dropout = 0.2});
    auto width = channels_by_8(o, {32, 16, 24, 32, 64, 96, 160, 320, 1280});
    if (o.widths.empty()) width.back() = std::max<int64_t>(1280, width.back());
    const bool small = std::min(o.input[0], o.input[1]) < 64;

    auto net = std::make_unique<Sequential>();
    Sequential& features = net->add<Sequential>("features");
    add_conv_bn(features, "0",
                {.in = o.input[2], .out = width[0], .kernel = 3, .stride = small ? 1 : 2, .padding = 1, .bias = false},
                Activation::relu6);
    int64_t in = width[0];
    int next = 1;
    for (size_t s = 0; s < std::size(kStages); ++s) {
        const int64_t out = width[s + 1], stride = small && s == 1 ? 1 : kStages[s].stride;
        for (int64_t block = 0; block < kStages[s].blocks; ++block) {
            features.add<InvertedResidual>(
                std::to_string(next++),
                {.in = in, .out = out, .expanded = in * kStages[s].expansion, .stride = block == 0 ? stride : 1});
            in = out;
        }
    }
    add_conv_bn(features, std::to_string(next), {.in = in, .out = width.back(), .bias = false}, Activation::relu6);
    net->add<GlobalAvgPool>("pool");
    Sequential& classifier = net->add<Sequential>("classifier");
    classifier.add<Dropout>("0", {.p = o.dropout});
    Linear& last = classifier.add<Linear>("1", {.in = width.back(), .out = o.classes});

    init::he_normal(features, init::Fan::out);
    last.weight.set_value(init::normal(last.weight.shape(), 0.01));
    last.bias.set_value(Tensor::zeros(last.bias.shape()));
    return Model(name, o, std::move(net));
}

}  // namespace lathe::nn::models
