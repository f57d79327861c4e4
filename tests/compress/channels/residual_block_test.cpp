#include <doctest/doctest.h>

#include "lathe/compress/channels/groups.h"
#include "lathe/core/ops/concat.h"
#include "lathe/nn/blocks/basic_block.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pool2d.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/tests/nn/random_tensor.h"

// The block that compress/channels/labels.h draws, and the exercise of compress/README.md, stop 5, solved.
using namespace lathe;
using namespace lathe::compress;
using namespace lathe::testing;

namespace {

using Names = std::vector<std::string>;

Names members(const ChannelGroup& group) {
    Names found;
    for (const ChannelMember& member : group.members)
        if (!member.buffer) found.push_back(member.name + ":" + std::to_string(member.axis));
    return found;
}

nn::Conv2dOptions conv3x3(int64_t in, int64_t out) {
    return {.in = in, .out = out, .kernel = 3, .padding = 1, .bias = false};
}

// The same layers with concat in the place of the addition.
struct Joined : nn::Module {
    nn::Conv2d stem{conv3x3(3, 4)}, conv1{conv3x3(4, 6)}, conv2{conv3x3(6, 4)};
    nn::Linear fc{{.in = 8, .out = 2}};
    Joined() { child("stem", stem), child("conv1", conv1), child("conv2", conv2), child("fc", fc); }
    Variable forward(const Variable& x) override {
        const Variable y = stem(x);
        return fc(ops::global_avg_pool(ops::concat({y, conv2(conv1(y))}, 3)));
    }
};

}  // namespace

TEST_CASE("one residual block: what the addition ties, and what it leaves free") {
    nn::Sequential net;
    net.add<nn::Conv2d>("stem", conv3x3(3, 4));
    net.add<nn::BasicBlock>("block", {.in = 4, .out = 4});
    net.add<nn::GlobalAvgPool>("pool");
    net.add<nn::Linear>("fc", {.in = 4, .out = 2});
    ChannelGroups groups(net, random_tensor({1, 8, 8, 3}));
    REQUIRE(groups.groups().size() == 4);
    const ChannelGroup &tied = groups.groups()[0], &image = groups.groups()[1], &free = groups.groups()[2],
                       &output = groups.groups()[3];
    CHECK(members(tied) == Names{"stem.weight:0", "block.conv1.weight:3", "block.conv2.weight:0", "block.bn2.weight:0",
                                 "block.bn2.bias:0", "fc.weight:1"});
    CHECK(members(free) ==
          Names{"block.conv1.weight:0", "block.bn1.weight:0", "block.bn1.bias:0", "block.conv2.weight:3"});
    CHECK(members(image) == Names{"stem.weight:3"});
    CHECK(image.fixed == "it meets the network's input or another axis of fixed size");
    CHECK(output.fixed == "it is the network's output");

    groups.select_({{0, 2, 3}, {0, 1, 2}, {1, 0}, {0, 1}});
    CHECK(net.named_parameters("stem.weight")[0].second->shape() == Shape{3, 3, 3, 3});
    CHECK(net.named_parameters("block.conv1.weight")[0].second->shape() == Shape{2, 3, 3, 3});
    CHECK(net.named_parameters("block.conv2.weight")[0].second->shape() == Shape{3, 3, 3, 2});
    CHECK(net.named_parameters("fc.weight")[0].second->shape() == Shape{2, 3});
}

TEST_CASE("joined side by side instead of added, both branches are free, and the reader has columns of both") {
    Joined net;
    const ChannelGroups groups(net, random_tensor({1, 8, 8, 3}));
    REQUIRE(groups.groups().size() == 5);
    CHECK(members(groups.groups()[0]) == Names{"stem.weight:0", "conv1.weight:3", "fc.weight:1"});
    CHECK(members(groups.groups()[2]) == Names{"conv1.weight:0", "conv2.weight:3"});
    CHECK(members(groups.groups()[3]) == Names{"conv2.weight:0", "fc.weight:1"});
    CHECK(groups.groups()[3].members[1].indices[0] == std::vector<int64_t>{4});
}
