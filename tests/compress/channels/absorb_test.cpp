#include "lathe/compress/channels/absorb.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lathe/compress/channels/prune.h"
#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/layers/flatten.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::compress;
using namespace lathe::testing;

namespace {

// Six channels of which the norm makes two constant, 1.5 and 0 behind the activation, then what reads them.
struct Net {
    nn::Sequential layers;
    nn::BatchNorm* norm;

    Net() {
        seed(1);
        layers.add<nn::Conv2d>("first", {.in = 2, .out = 6, .kernel = 3, .padding = 1});
        norm = &layers.add<nn::BatchNorm>("norm", {.channels = 6, .activation = Activation::relu});
        norm->weight.set_value(Tensor::of<float>({6}, {1, 0, 2, -1, 0, 1}));
        norm->bias.set_value(Tensor::of<float>({6}, {0, 1.5f, 1, -1, -2, 1}));
    }

    // The outputs before and after cutting the third of the channels with the smallest scales, and what was reported.
    std::tuple<Tensor, Tensor, ChannelReport> prune(const Tensor& x, bool at_borders = true) {
        layers.eval();
        const Tensor before = layers(x).value();
        const ChannelReport report = prune_channels(
            layers, x,
            {.ratio = 1.0 / 3, .importance = {.kind = ChannelImportance::batch_norm}, .absorb_at_borders = at_borders});
        return {before, layers(x).value(), report};
    }
};

double difference(const Tensor& a, const Tensor& b, int64_t i) { return std::abs(a.at(i) - b.at(i)); }

bool close(const Tensor& a, const Tensor& b) {
    for (int64_t i = 0; i < a.numel(); ++i)
        if (difference(a, b, i) > 1e-5) return false;
    return a.shape() == b.shape();
}

}  // namespace

TEST_CASE("a constant goes into the bias of the convolution that read it") {
    Net net;
    net.layers.add<nn::Conv2d>("second", {.in = 6, .out = 3, .kernel = 3});
    const auto [before, after, report] = net.prune(random_tensor({2, 6, 6, 2}));
    CHECK(report.groups[0].after == 4);
    CHECK(close(before, after));
    REQUIRE(report.absorbed.size() == 1);
    CHECK(report.absorbed[0].layer == "second");
    CHECK(report.absorbed[0].channels == 1);
    CHECK(report.str().find("second: 1 cut channel held a constant, now in its bias\n") != std::string::npos);
}

TEST_CASE("without a bias it goes into the norm behind") {
    Net net;
    net.layers.add<nn::Conv2d>("second", {.in = 6, .out = 4, .kernel = 3, .groups = 2, .bias = false});
    net.layers.add<nn::BatchNorm>("norm2", {.channels = 4});
    net.norm->weight.set_value(
        Tensor::of<float>({6}, {1, 0, 2, -1, 0, 1}));  // channels 1 and 4 are in one place of their groups
    const auto [before, after, report] = net.prune(random_tensor({2, 6, 6, 2}));
    CHECK(close(before, after));
    CHECK(report.absorbed[0].how == Absorption::How::exact);
}

TEST_CASE("behind a flattened image, and through a depthwise convolution") {
    Net net;
    net.layers.add<nn::Conv2d>("depthwise", {.in = 6, .out = 6, .kernel = 3, .groups = 6});
    net.layers.add<nn::Flatten>("flatten");
    net.layers.add<nn::Linear>("fc", {.in = 6 * 16, .out = 3, .pixels = 16});
    const auto [before, after, report] = net.prune(random_tensor({2, 6, 6, 2}));
    CHECK(close(before, after));
    REQUIRE(report.absorbed.size() == 1);
    CHECK(report.absorbed[0].layer == "fc");
}

TEST_CASE("with zero padding it is right inside, and the report says so") {
    const Tensor x = random_tensor({1, 6, 6, 2});
    Net net;
    net.layers.add<nn::Conv2d>("second", {.in = 6, .out = 1, .kernel = 3, .padding = 1});
    const auto [before, after, report] = net.prune(x);
    CHECK(report.absorbed[0].how == Absorption::How::interior);
    for (int64_t row = 0; row < 6; ++row)
        for (int64_t column = 0; column < 6; ++column) {
            const bool inside = row > 0 && row < 5 && column > 0 && column < 5;
            CHECK((difference(before, after, row * 6 + column) < 1e-5) == inside);
        }

    Net other;
    other.layers.add<nn::Conv2d>("second", {.in = 6, .out = 1, .kernel = 3, .padding = 1});
    const auto [same_before, lost, lost_report] = other.prune(x, false);
    CHECK(lost_report.absorbed[0].how == Absorption::How::lost);
    CHECK(difference(same_before, lost, 14) > 1e-3);
}
