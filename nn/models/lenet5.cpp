#include "lathe/nn/models/lenet5.h"

#include "lathe/nn/layers/activation.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/layers/flatten.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pool2d.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/nn/models/options.h"

namespace lathe::nn::models {

Model lenet5(const ModelOptions& options) {
    static const std::string name = "lenet5";
    const PathScope scope(name);
    const ModelOptions o = complete(options, {.classes = 10, .input = {28, 28, 1}}, 12);
    const auto width = channels(o, {6, 16, 120, 84});
    const int64_t pixels = ((o.input[0] / 2 - 4) / 2) * ((o.input[1] / 2 - 4) / 2);

    auto net = std::make_unique<Sequential>();
    net->add<Conv2d>("conv1", {.in = o.input[2], .out = width[0], .kernel = 5, .padding = 2});
    net->add<ReLU>("relu1");
    net->add<MaxPool2d>("pool1", {.kernel = 2});
    net->add<Conv2d>("conv2", {.in = width[0], .out = width[1], .kernel = 5});
    net->add<ReLU>("relu2");
    net->add<MaxPool2d>("pool2", {.kernel = 2});
    net->add<Flatten>("flatten");
    net->add<Linear>("fc1", {.in = width[1] * pixels, .out = width[2], .pixels = pixels});
    net->add<ReLU>("relu3");
    net->add<Linear>("fc2", {.in = width[2], .out = width[3]});
    net->add<ReLU>("relu4");
    net->add<Linear>("fc3", {.in = width[3], .out = o.classes});
    return Model(name, o, std::move(net));
}

}  // namespace lathe::nn::models
