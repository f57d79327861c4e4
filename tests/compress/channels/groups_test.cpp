#include "lathe/compress/channels/groups.h"

#include <doctest/doctest.h>

#include <numeric>

#include "lathe/core/ops/add.h"
#include "lathe/core/ops/pad.h"
#include "lathe/core/ops/softmax.h"
#include "lathe/core/ops/sum.h"
#include "lathe/data/dataset.h"
#include "lathe/core/graph/cost.h"
#include "lathe/nn/layers/layer_norm.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/compress/random_network.h"

using namespace lathe;
using namespace lathe::compress;
using namespace lathe::testing;

namespace {

using Names = std::vector<std::string>;

std::vector<ChannelGroup> making_channels(const ChannelGroups& groups) {
    std::vector<ChannelGroup> found;
    for (const ChannelGroup& group : groups.groups())
        if (!group.layers().empty()) found.push_back(group);
    return found;
}

const ChannelGroup& group_of(const ChannelGroups& groups, const std::string& layer) {
    for (const ChannelGroup& group : groups.groups())
        for (const std::string& name : group.layers())
            if (name == layer) return group;
    fail("no group of ", layer);
}

Names members(const ChannelGroup& group) {
    Names found;
    for (const ChannelMember& member : group.members) found.push_back(member.name + ":" + std::to_string(member.axis));
    return found;
}

std::vector<int64_t> all_of(const ChannelGroup& group) {
    std::vector<int64_t> all(static_cast<size_t>(group.channels));
    std::iota(all.begin(), all.end(), 0);
    return all;
}

// A module from a function and the layers that it uses.
struct Composed : nn::Module {
    std::function<Variable(const Variable&)> f;
    Variable forward(const Variable& x) override { return f(x); }
    void own(const std::string& name, nn::Module& layer) { child(name, layer); }
};

// Zeroes what makes the channel: filters, biases, scales and shifts.
void silence(const ChannelGroup& group, int64_t channel, const std::map<std::string, nn::Parameter*>& parameters) {
    for (const ChannelMember& member : group.members) {
        if (member.use == ChannelUse::reader || !member.parameter) continue;
        Tensor value = parameters.at(member.name)->mutable_value();
        int64_t inner = 1;
        for (int axis = member.axis + 1; axis < value.rank(); ++axis) inner *= value.dim(axis);
        REQUIRE(member.axis == 0);
        for (int64_t index : member.indices[static_cast<size_t>(channel)])
            std::fill_n(value.mutable_data<float>() + index * inner, inner, 0.0f);
    }
}

double largest_difference(const Tensor& a, const Tensor& b) {
    REQUIRE(a.shape() == b.shape());
    double worst = 0;
    for (int64_t i = 0; i < a.numel(); ++i) worst = std::max(worst, std::abs(a.at(i) - b.at(i)));
    return worst;
}

}  // namespace

TEST_CASE("a chain: each convolution's filters, its norm and the next one's inputs") {
    const auto model = nn::make_model("vgg-cifar", {.width = 0.0625});
    const ChannelGroups groups(*model, random_tensor({2, 32, 32, 3}));
    const auto found = making_channels(groups);
    REQUIRE(found.size() == 9);
    CHECK(members(found[1]) == Names{"backbone.conv1.weight:0", "backbone.bn1.weight:0", "backbone.bn1.bias:0",
                                     "backbone.bn1.running_mean:0", "backbone.bn1.running_var:0",
                                     "backbone.conv2.weight:3"});
    CHECK(found[1].channels == 8);
    CHECK(found[7].members.back().name == "classifier.weight");
    for (size_t i = 0; i < 8; ++i) CHECK(found[i].fixed.empty());
    CHECK(found[8].fixed == "it is the network's output");
}

TEST_CASE("behind a flattened image a channel is a column for each pixel") {
    const auto model = nn::make_model("lenet5");
    const ChannelGroups groups(*model, random_tensor({1, 28, 28, 1}));
    const ChannelGroup& group = group_of(groups, "conv2");
    CHECK(members(group) == Names{"conv2.weight:0", "conv2.bias:0", "fc1.weight:1"});
    const std::vector<int64_t>& columns = group.members[2].indices[3];
    REQUIRE(columns.size() == 25);
    for (int64_t pixel = 0; pixel < 25; ++pixel) CHECK(columns[static_cast<size_t>(pixel)] == pixel * 16 + 3);
}

TEST_CASE("option-A shortcuts: the channels that stages share, and those that padding adds") {
    const auto model = nn::make_model("resnet20");
    const ChannelGroups groups(*model, random_tensor({1, 32, 32, 3}));
    const ChannelGroup &first = group_of(groups, "conv1"), &inner = group_of(groups, "layer2.1.conv1");
    CHECK(first.channels == 16);
    CHECK(first.front == 0);
    CHECK(first.layers() == Names{"conv1", "layer1.0.conv2", "layer1.1.conv2", "layer1.2.conv2", "layer2.0.conv2",
                                  "layer2.1.conv2", "layer2.2.conv2", "layer3.0.conv2", "layer3.1.conv2",
                                  "layer3.2.conv2"});
    CHECK(inner.channels == 32);
    CHECK(inner.layers() == Names{"layer2.1.conv1"});
    std::map<int64_t, int64_t> fronts;  // of the groups that padding made: channels, front
    for (const ChannelGroup& group : groups.groups())
        if (group.front) {
            CHECK(group.fixed.empty());
            fronts[group.channels] = group.front;
        }
    CHECK(fronts == std::map<int64_t, int64_t>{{16, 8}, {32, 16}});
    // Stage 3 holds 16 front, [8 front, 16 of stage 1, 8 back] of stage 2, 16 back.
    for (const ChannelMember& member : first.members)
        if (member.name == "fc.weight") CHECK(member.indices[0] == std::vector<int64_t>{24});
}

TEST_CASE("depthwise convolutions, squeeze-and-excitation and residuals of mobile blocks") {
    nn::InvertedResidual block({.in = 4, .out = 4, .expanded = 12, .squeezed = 3});
    nn::Conv2d stem({.in = 3, .out = 4}), head({.in = 4, .out = 2});
    Composed net;
    net.f = [&](const Variable& x) { return head(block(stem(x))); };
    net.own("stem", stem), net.own("block", block), net.own("head", head);
    const ChannelGroups groups(net, random_tensor({1, 5, 5, 3}));
    CHECK(members(group_of(groups, "stem")) == Names{"stem.weight:0", "stem.bias:0", "block.conv.0.0.weight:3",
                                                     "block.conv.2.weight:0", "block.conv.3.weight:0",
                                                     "block.conv.3.bias:0", "block.conv.3.running_mean:0",
                                                     "block.conv.3.running_var:0", "head.weight:3"});
    CHECK(group_of(groups, "block.conv.0.0").layers() ==
          Names{"block.conv.0.0", "block.conv.1.0", "block.conv.se.fc2"});
    CHECK(group_of(groups, "block.conv.se.fc1").channels == 3);
    CHECK(group_of(groups, "head").fixed == "it is the network's output");
}

TEST_CASE("grouped convolutions lose the same channel of every group") {
    nn::Conv2d first({.in = 1, .out = 8}), grouped({.in = 8, .out = 12, .groups = 2}), last({.in = 12, .out = 1});
    Composed net;
    net.f = [&](const Variable& x) { return last(grouped(first(x))); };
    net.own("first", first), net.own("grouped", grouped), net.own("last", last);
    ChannelGroups groups(net, random_tensor({1, 2, 2, 1}));
    const ChannelGroup &in = group_of(groups, "first"), &out = group_of(groups, "grouped");
    CHECK(in.channels == 4);
    CHECK(in.members[0].indices[1] == std::vector<int64_t>{1, 5});
    CHECK(members(in) == Names{"first.weight:0", "first.bias:0", "grouped.weight:3"});
    CHECK(out.channels == 6);
    CHECK(out.members[0].indices[5] == std::vector<int64_t>{5, 11});
    ChannelChoice choice;
    for (const ChannelGroup& group : groups.groups()) {
        choice.push_back(all_of(group));
        if (group.fixed.empty()) choice.back().pop_back();
    }
    groups.select_(choice);
    CHECK(grouped.weight.shape() == Shape{10, 1, 1, 3});
    CHECK(first.weight.shape() == Shape{6, 1, 1, 1});
}

TEST_CASE("what cannot be followed is left alone, with the reason") {
    nn::Conv2d a({.in = 3, .out = 8}), b({.in = 8, .out = 6}), c({.in = 6, .out = 2});
    const auto reasons = [&](const std::function<Variable(const Variable&)>& f) {
        Composed net;
        net.f = f;
        net.own("a", a), net.own("b", b), net.own("c", c);
        const std::map<std::string, Tensor> before = net.state();
        const ChannelGroups groups(net, random_tensor({1, 4, 4, 3}));
        for (const auto& [name, tensor] : net.state()) CHECK(same(tensor, before.at(name)));
        return std::pair{group_of(groups, "a").fixed, group_of(groups, "b").fixed};
    };
    const auto plain = reasons([&](const Variable& x) { return c(b(a(x))); });
    CHECK(plain == std::pair<std::string, std::string>{"", ""});
    const auto softmax = reasons([&](const Variable& x) { return c(b(ops::softmax(a(x)))); });
    CHECK(softmax.first == "channels are not followed through 'softmax' at ''");
    CHECK(softmax.second == "");
    const auto constant = reasons([&](const Variable& x) { return c(b(ops::add(a(x), Tensor::full({8}, 1)))); });
    CHECK(constant.first == "it meets a value that is no parameter (constant)");
    const auto input = reasons([&](const Variable& x) {
        return c(b(ops::add(a(x), ops::concat({x, x, ops::slice(x, 3, 0, 2)}, 3))));
    });
    CHECK(input.first == "it meets the network's input or another axis of fixed size");
    const auto part = reasons([&](const Variable& x) {
        return c(b(ops::concat({ops::slice(a(x), 3, 0, 5), ops::slice(a(x), 3, 0, 3)}, 3)));
    });
    CHECK(part.first.starts_with("'slice' at '' takes a part of fixed size"));
    const auto halves = reasons([&](const Variable& x) {
        const auto parts = ops::split(a(x), {4, 4}, 3);
        return c(b(ops::concat({parts[1], parts[0]}, 3)));
    });
    CHECK(halves.first.starts_with("its size is fixed in the network's code: "));
    CHECK(halves.second == "");
}

TEST_CASE("a network without some channels is the network in which they are silent") {
    for (uint64_t trial = 0; trial < 40; ++trial) {
        CAPTURE(trial);
        const auto pruned = random_network(trial), silent = random_network(trial);
        pruned->eval(), silent->eval();
        const auto parameters = nn::by_name(silent->named_parameters());
        const Tensor x = random_tensor({2, 8, 8, 3}, trial);
        CHECK(same((*pruned)(x).value(), (*silent)(x).value()));

        ChannelGroups groups(*pruned, x);
        Random random(trial, 1);
        ChannelChoice choice;
        std::vector<int64_t> counts;
        int64_t removed = 0;
        for (const ChannelGroup& group : groups.groups()) {
            std::vector<int64_t> kept;
            for (int64_t c = 0; c < group.channels; ++c)
                if (!group.fixed.empty() || random.below(2)) kept.push_back(c);
            if (kept.empty()) kept.push_back(random.below(group.channels));
            for (int64_t c = 0; c < group.channels; ++c)
                if (std::find(kept.begin(), kept.end(), c) == kept.end()) silence(group, c, parameters), ++removed;
            counts.push_back(static_cast<int64_t>(kept.size()));
            choice.push_back(kept);
        }
        CHECK(removed > 0);
        const Graph expected = groups.predict(counts);
        const int64_t parameter_count = groups.predict_parameters(counts);
        groups.select_(choice);
        CHECK(largest_difference((*pruned)(x).value(), (*silent)(x).value()) < 1e-5);
        CHECK(pruned->parameter_count() == parameter_count);
        CHECK(macs(nn::trace(*pruned, x.rows(0, 1))) == macs(expected));
    }
}

TEST_CASE("the order of channels does not matter to a network") {
    for (uint64_t trial = 0; trial < 40; ++trial) {
        CAPTURE(trial);
        const auto net = random_network(trial);
        net->eval();
        const Tensor x = random_tensor({2, 8, 8, 3}, trial), before = (*net)(x).value();
        ChannelGroups groups(*net, x);
        ChannelChoice choice;
        for (const ChannelGroup& group : groups.groups())
            choice.push_back(group.fixed.empty() ? data::permutation(group.channels, Random(trial, choice.size()))
                                                 : all_of(group));
        groups.select_(choice);
        CHECK(largest_difference((*net)(x).value(), before) < 1e-5);
    }
}

TEST_CASE("layer norms and tokens go with their channels") {
    nn::Linear first({.in = 3, .out = 6}), last({.in = 6, .out = 2});
    nn::LayerNorm norm({.features = 6});
    Composed net;
    net.f = [&](const Variable& x) { return last(ops::mean(norm(first(ops::reshape(x, {x.dim(0), -1, 3}))), 1)); };
    net.own("first", first), net.own("norm", norm), net.own("last", last);
    ChannelGroups groups(net, random_tensor({2, 4, 4, 3}));
    const ChannelGroup& group = group_of(groups, "first");
    CHECK(members(group) == Names{"first.weight:0", "first.bias:0", "norm.weight:0", "norm.bias:0", "last.weight:1"});
    ChannelChoice choice;
    for (const ChannelGroup& each : groups.groups())
        choice.push_back(each.fixed.empty() ? std::vector<int64_t>{1, 4} : all_of(each));
    groups.select_(choice);
    CHECK(net(random_tensor({2, 4, 4, 3})).shape() == Shape{2, 2});
    CHECK(norm.bias.shape() == Shape{2});
}

TEST_CASE("a choice must name channels that can be cut") {
    const auto model = nn::make_model("lenet5");
    ChannelGroups groups(*model, random_tensor({1, 28, 28, 1}));
    ChannelChoice choice;
    for (const ChannelGroup& group : groups.groups()) choice.push_back(all_of(group));
    const auto message = [&](size_t group, std::vector<int64_t> kept) {
        ChannelChoice changed = choice;
        changed[group] = std::move(kept);
        return message_of([&] { groups.select_(changed); });
    };
    size_t conv1 = 0, output = 0;
    for (size_t g = 0; g < choice.size(); ++g) {
        if (groups.groups()[g].layers() == Names{"conv1"}) conv1 = g;
        if (groups.groups()[g].layers() == Names{"fc3"}) output = g;
    }
    CHECK(message(conv1, {6}) == "channel groups: expected channels of 0 to 5 once each, got 6");
    CHECK(message(conv1, {0, 0}) == "channel groups: expected channels of 0 to 5 once each, got 0");
    CHECK(message(conv1, {}) == "channel groups: expected at least one channel to stay");
    CHECK(message(output, {0, 1}) == "channel groups: a group cannot be cut: it is the network's output");
    CHECK(model->parameter_count() == 61706);
}
