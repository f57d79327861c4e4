#include "lathe/core/graph/cost.h"

#include <doctest/doctest.h>

#include "lathe/nn/layers/activation.h"
#include "lathe/nn/layers/embedding.h"
#include "lathe/nn/layers/flatten.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pool2d.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/nn/blocks/squeeze_excite.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::nn;
using namespace lathe::testing;

TEST_CASE("costs of a small network, counted by hand") {
    Sequential net;
    net.add<Conv2d>("conv", {.in = 2, .out = 4, .kernel = 3, .padding = 1});
    net.add<ReLU>("relu");
    net.add<MaxPool2d>("pool", {.kernel = 2});
    net.add<Flatten>("flatten");
    Linear& fc = net.add<Linear>("fc", {.in = 4 * 2 * 3, .out = 5});
    fc.weight.add_transform(std::make_unique<Mask>(random_mask(fc.weight.shape())));
    const Graph graph = trace(net, random_tensor({1, 4, 6, 2}));
    const std::vector<int64_t> bytes = activation_bytes(graph);

    std::map<std::string, std::vector<int64_t>> seen;  // op -> MACs, parameters, bytes of activations
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
        const GraphNode& node = graph.nodes[i];
        if (node.is_op()) seen[node.op] = {macs(graph, node), parameter_count(graph, node), bytes[i]};
    }
    CHECK(seen["conv2d"] == std::vector<int64_t>{24 * 4 * 18, 4 * 18 + 4, 24 * 4 * 4});
    CHECK(seen["relu"] == std::vector<int64_t>{0, 0, 24 * 4 * 4});
    CHECK(seen["max_pool2d"] == std::vector<int64_t>{0, 0, 6 * 4 * 4});
    CHECK(seen["flatten"] == std::vector<int64_t>{0, 0, 0});            // a view
    CHECK(seen.count("mul") == 0);                                       // a mask is part of the weight
    CHECK(seen["linear"] == std::vector<int64_t>{24 * 5, 24 * 5 + 5, 5 * 4});
    CHECK(macs(graph) == 24 * 4 * 18 + 24 * 5);
    CHECK(peak_activation_bytes(graph) == 2 * 24 * 4 * 4);  // the convolution's output and its ReLU
}

TEST_CASE("the course labs count batch norms and the global pool, too") {
    const auto vgg = make_model("vgg-cifar");
    const Graph graph = trace(*vgg, random_tensor({1, 32, 32, 3}));
    CHECK(macs(graph) == 605754368);
    CHECK(macs(graph, MacsCount::lab) == 606164480);
}

TEST_CASE("an activation lives until its last reader") {
    SqueezeExcite block({.channels = 8, .squeezed = 2});
    const Graph graph = trace(block, random_tensor({1, 6, 6, 8}));
    CHECK(peak_activation_bytes(graph) == 2 * 36 * 8 * 4 + 8 * 4);  // x, what it is scaled by, and the product
}

TEST_CASE("looked-up rows are activations, the table is a parameter") {
    Embedding embedding({.rows = 10, .features = 4});
    const Graph graph = trace(embedding, Tensor::of<int32_t>({1, 3}, {1, 2, 9}));
    const auto output = static_cast<size_t>(graph.output);
    CHECK(parameter_count(graph, graph.nodes[output]) == 40);
    CHECK(activation_bytes(graph)[output] == 3 * 4 * 4);
    CHECK(peak_activation_bytes(graph) == 3 * 4 + 3 * 4 * 4);
}

TEST_CASE("peaks of whole networks") {
    auto peak = [](const std::string& name, const Shape& input) {
        const auto model = make_model(name, {.input = input});
        return peak_activation_bytes(trace(*model, random_tensor({1, input[0], input[1], input[2]})));
    };
    CHECK(peak("resnet20", {32, 32, 3}) ==
          3 * 32 * 32 * 16 * 4);  // a block's input, a convolution's output, its norm's
    CHECK(peak("vgg-cifar", {32, 32, 3}) == 2 * 32 * 32 * 128 * 4);
    CHECK(peak("mobilenetv2", {32, 32, 3}) == 32 * 32 * (24 + 2 * 144) * 4);
}
