// Every layer that is one op against what PyTorch recorded for the op (tests/fixtures/make_fixtures.py); blocks and
// networks are in recorded_test.cpp.
#include <doctest/doctest.h>

#include "lathe/core/files/safetensors.h"
#include "lathe/nn/layers/activation.h"
#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/layers/embedding.h"
#include "lathe/nn/layers/flatten.h"
#include "lathe/nn/layers/layer_norm.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pad.h"
#include "lathe/nn/layers/pool2d.h"
#include "lathe/nn/layers/softmax.h"
#include "lathe/tests/support/recorded.h"

using namespace lathe;
using namespace lathe::nn;
using namespace lathe::testing;

namespace {

// Gives the layer the recorded weights and statistics, runs it on the recorded input, and compares the output, all
// gradients and what became of the statistics.
void compare(Module& layer, const std::string& family, const std::string& name) {
    constexpr double kTolerance = 1e-5;
    CAPTURE(name);
    std::map<std::string, Tensor> recorded;
    for (const auto& [key, tensor] : read_safetensors("tests/fixtures/ops/" + family + ".safetensors").tensors)
        if (key.starts_with(name + "/")) recorded[key.substr(name.size() + 1)] = tensor;
    for (const auto& [key, parameter] : layer.named_parameters()) parameter->set_value(recorded.at(key));
    for (const auto& [key, buffer] : layer.named_buffers()) *buffer = recorded.at(key);

    const bool indices = recorded.count("indices");
    const Variable x = indices ? Variable(recorded.at("indices")) : Variable::leaf(recorded.at("x"));
    const Variable y = layer(x);
    CHECK(relative_difference(y.value(), recorded.at("y")) <= kTolerance);
    backward(y, recorded.at("dy"));
    if (!indices) CHECK(relative_difference(x.grad(), recorded.at("grad.x")) <= kTolerance);
    for (const auto& [key, parameter] : layer.named_parameters()) {
        CAPTURE(key);
        CHECK(relative_difference(parameter->grad(), recorded.at("grad." + key)) <= kTolerance);
    }
    for (const auto& [key, buffer] : layer.named_buffers()) {
        CAPTURE(key);
        CHECK(relative_difference(*buffer, recorded.at(recorded.count("after." + key) ? "after." + key : key)) <=
              kTolerance);
    }
}

template <class Layer>
void compare(const std::string& family, const std::string& name, const typename Layer::Options& options,
             bool training = true) {
    Layer layer(options);
    layer.train(training);
    compare(layer, family, name);
}

template <class Layer>
void compare_plain(const std::string& family, const std::string& name) {
    Layer layer;
    compare(layer, family, name);
}

}  // namespace

TEST_CASE("convolution and linear layers compute what PyTorch computes") {
    const std::string family = "convolution";
    compare<Conv2d>(family, "conv2d.3x3", {.in = 5, .out = 6, .kernel = 3, .padding = 1});
    compare<Conv2d>(family, "conv2d.1x1", {.in = 8, .out = 7, .kernel = 1, .bias = false});
    compare<Conv2d>(family, "conv2d.image_stride2", {.in = 3, .out = 8, .kernel = 5, .stride = 2, .padding = 2});
    compare<Conv2d>(family, "conv2d.dilation_uneven",
                    {.in = 4, .out = 3, .kernel = {2, 3}, .padding = {1, 2, 0, 3}, .dilation = {2, 1}, .bias = false});
    compare<Conv2d>(family, "conv2d.groups", {.in = 6, .out = 4, .kernel = 3, .stride = 2, .padding = 1, .groups = 2});
    compare<Conv2d>(family, "conv2d.depthwise", {.in = 9, .out = 9, .kernel = 3, .padding = 1, .groups = 9});
    compare<Conv2d>(family, "conv2d.depthwise_stride2",
                    {.in = 8, .out = 8, .kernel = 5, .stride = 2, .padding = 2, .groups = 8, .bias = false});
    compare<Linear>("linear", "linear.bias", {.in = 17, .out = 5});
    compare<Linear>("linear", "linear.no_bias", {.in = 4, .out = 7, .bias = false});
    compare<Embedding>("matrices", "embedding", {.rows = 7, .features = 5});
}

TEST_CASE("norm layers compute what PyTorch computes") {
    const std::string family = "normalization";
    compare<BatchNorm>(family, "batch_norm.training", {.channels = 7, .momentum = 0.2});
    compare<BatchNorm>(family, "batch_norm.training_relu", {.channels = 16, .activation = Activation::relu});
    compare<BatchNorm>(family, "batch_norm.training_relu6",
                       {.channels = 3, .eps = 1e-3, .activation = Activation::relu6});
    compare<BatchNorm>(family, "batch_norm.training_hard_swish", {.channels = 5, .activation = Activation::hard_swish});
    compare<BatchNorm>(family, "batch_norm.training_rank2", {.channels = 20});
    compare<BatchNorm>(family, "batch_norm.evaluation", {.channels = 7}, false);
    compare<BatchNorm>(family, "batch_norm.evaluation_relu", {.channels = 7, .activation = Activation::relu}, false);
    compare<LayerNorm>(family, "layer_norm", {.features = 21});
}

TEST_CASE("pooling, padding and reshaping layers compute what PyTorch computes") {
    const std::string family = "pooling";
    compare<MaxPool2d>(family, "max_pool2d", {.kernel = 2});
    compare<MaxPool2d>(family, "max_pool2d.overlapping", {.kernel = 3, .stride = 2, .padding = 1});
    compare<MaxPool2d>(family, "max_pool2d.uneven", {.kernel = {3, 2}, .stride = ops::Pair(1, 2), .padding = {1, 0}});
    compare<AvgPool2d>(family, "avg_pool2d", {.kernel = 2});
    compare<AvgPool2d>(family, "avg_pool2d.padding_counts", {.kernel = 3, .stride = 2, .padding = 1});
    compare<AvgPool2d>(family, "avg_pool2d.padding_left_out",
                       {.kernel = 3, .stride = 2, .padding = 1, .count_include_pad = false});
    compare_plain<GlobalAvgPool>(family, "global_avg_pool");
    compare<Pad>("shapes", "pad", {.padding = {1, 0, 2, 3}, .value = 0.5});
    compare_plain<Flatten>("shapes", "flatten");
}

TEST_CASE("activation layers compute what PyTorch computes") {
    const std::string family = "activations";
    compare_plain<ReLU>("elementwise", "relu");
    compare_plain<ReLU6>(family, "relu6");
    compare_plain<HardSwish>(family, "hard_swish");
    compare_plain<HardSigmoid>(family, "hard_sigmoid");
    compare_plain<Sigmoid>(family, "sigmoid");
    compare_plain<Tanh>(family, "tanh");
    compare_plain<GELU>(family, "gelu");
    compare_plain<Softmax>("losses", "softmax");
}
