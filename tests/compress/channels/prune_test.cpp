#include "lathe/compress/channels/prune.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "lathe/core/ops/cross_entropy.h"
#include "lathe/data/shapes.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/registry.h"
#include "lathe/optim/optimizer.h"
#include "lathe/tests/compress/random_network.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::compress;
using namespace lathe::testing;

namespace {

Tensor input_of(const nn::Model& model, int64_t batch = 1) {
    Shape shape{batch};
    for (int64_t extent : model.input_shape()) shape.push_back(extent);
    return random_tensor(shape);
}

// A narrow network of the zoo whose norms have random statistics.
std::unique_ptr<nn::Model> narrow(const std::string& name) {
    seed(3);
    auto model = name == "mobilenetv2" ? nn::make_model(name, {.classes = 3, .width = 0.25, .input = {32, 32, 3}})
                                       : nn::make_model(name, {.width = 0.25});
    uint64_t next = 0;
    for (const auto& [buffer_name, buffer] : model->named_buffers()) {
        float* value = buffer->mutable_data<float>();
        const Tensor drawn = random_tensor(buffer->shape(), ++next);
        for (int64_t i = 0; i < buffer->numel(); ++i)
            value[i] = buffer_name.ends_with("running_var") ? 0.5f + std::abs(drawn.data<float>()[i])
                                                            : 0.1f * drawn.data<float>()[i];
    }
    model->eval();
    return model;
}

void expect_close(const Tensor& a, const Tensor& b, double tolerance) {
    REQUIRE(a.shape() == b.shape());
    for (int64_t i = 0; i < a.numel(); ++i)
        CHECK(std::abs(a.at(i) - b.at(i)) <= tolerance * std::max(1.0, std::abs(b.at(i))));
}

nn::Parameter& parameter(nn::Module& module, const std::string& wanted) {
    for (const auto& [name, found] : module.named_parameters())
        if (name == wanted) return *found;
    fail("no parameter ", wanted);
}

std::vector<int64_t> widths(const ChannelReport& report) {
    std::vector<int64_t> found;
    for (const auto& group : report.groups) found.push_back(group.after);
    return found;
}

}  // namespace

TEST_CASE("the course lab's figures: vgg-cifar without 30 % of its channels") {
    const auto model = nn::make_model("vgg-cifar");
    const ChannelReport report =
        prune_channels(*model, input_of(*model),
                       {.ratio = 0.3, .importance = {.kind = ChannelImportance::next_l2}, .macs = MacsCount::lab});
    CHECK(widths(report) == std::vector<int64_t>{45, 90, 179, 179, 358, 358, 358, 512, 10});
    CHECK(report.groups[7].fixed == "nothing in it has the importance next-l2");  // no convolution behind the last
    CHECK(report.parameters_before == 9228362);
    CHECK(report.parameters_after == 5013666);
    CHECK(report.macs_before == 606164480);
    CHECK(report.macs_after == 305388064);
    CHECK(macs(nn::trace(*model, input_of(*model))) == 305097920);
    CHECK(report.str().find("      64    45  backbone.conv0\n") != std::string::npos);
    CHECK(report.str().find("      10    10  classifier  (left alone: it is the network's output)\n") !=
          std::string::npos);
    CHECK(report.str().ends_with(
        "parameters 9228362 -> 5013666 (54.3%), MACs as the lab counts 606164480 -> 305388064 (50.4%)\n"));
}

TEST_CASE("sorting channels changes no output") {
    for (const std::string& name : nn::model_names()) {
        CAPTURE(name);
        const auto model = narrow(name);
        const Tensor x = input_of(*model, 2), before = (*model)(x).value();
        const std::map<std::string, Tensor> unsorted = model->state();
        sort_channels(*model, x, {.kind = ChannelImportance::l2});
        bool moved = false;
        for (const auto& [tensor_name, tensor] : model->state())
            moved = moved || !same(tensor, unsorted.at(tensor_name));
        CHECK(moved);
        expect_close((*model)(x).value(), before, 1e-5);
    }
}

TEST_CASE("sorted as in the lab, the channels kept are the first") {
    const auto sorted = narrow("vgg-cifar"), direct = narrow("vgg-cifar");
    const Tensor x = input_of(*sorted, 2);
    sort_channels(*sorted, x, {.kind = ChannelImportance::next_l2});
    const Tensor& next = parameter(*sorted, "backbone.conv1.weight").value();  // [32, 3, 3, 16]
    std::vector<double> norms(16, 0);
    for (int64_t i = 0; i < next.numel(); ++i) norms[static_cast<size_t>(i % 16)] += next.at(i) * next.at(i);
    CHECK(std::is_sorted(norms.rbegin(), norms.rend()));

    // The last convolution's channels have no importance in the lab; here they get none either way.
    prune_channels(
        *sorted, x,
        {.ratios = {0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0}, .importance = {.kind = ChannelImportance::order}});
    prune_channels(*direct, x, {.ratio = 0.3, .importance = {.kind = ChannelImportance::next_l2}});
    expect_close((*sorted)(x).value(), (*direct)(x).value(), 1e-5);
}

TEST_CASE("the whole zoo loses half of its channels, runs, trains, is saved and loaded") {
    TemporaryFolder folder;
    const std::string path = folder / "pruned.safetensors";
    for (const std::string& name : nn::model_names()) {
        CAPTURE(name);
        const auto model = narrow(name);
        const Tensor x = input_of(*model, 4);
        const ChannelReport report = prune_channels(*model, x, {.ratio = 0.5});
        CHECK(report.parameters_after < 0.55 * static_cast<double>(report.parameters_before));
        CHECK(report.parameters_after == model->parameter_count());
        CHECK(macs(nn::trace(*model, x.rows(0, 1))) == report.macs_after);
        for (const auto& group : report.groups)
            if (group.fixed.empty())
                CHECK(group.after == static_cast<int64_t>(std::nearbyint(0.5 * static_cast<double>(group.before))));

        const auto sgd = optim::sgd({.lr = 0.01});
        model->train();
        backward((*model)(x), random_tensor((*model)(x).shape()));
        sgd->step(*model);
        model->eval();
        nn::save(*model, path);
        const auto loaded = nn::load(path);
        loaded->eval();
        CHECK(same((*loaded)(x).value(), (*model)(x).value()));
    }
}

TEST_CASE("momentum and masks go with their channels") {
    const auto model = narrow("resnet20");
    const Tensor x = input_of(*model);
    for (const auto& [name, p] : model->named_parameters()) {
        // Each slot and mask is a function of the weight, and must be it again afterwards.
        Tensor momentum = p->value().clone();
        for (int64_t i = 0; i < momentum.numel(); ++i) momentum.mutable_data<float>()[i] *= 3;
        p->slots()["momentum"] = momentum;
        p->updates() = 7;
        if (p->value().rank() == 1) continue;
        Tensor mask(p->shape(), DType::u8);
        for (int64_t i = 0; i < mask.numel(); ++i) mask.mutable_data<uint8_t>()[i] = p->value().at(i) > 0;
        p->add_transform(std::make_unique<nn::Mask>(mask));
    }
    prune_channels(*model, x, {.ratio = 0.4});
    for (const auto& [name, p] : model->named_parameters()) {
        CAPTURE(name);
        const Tensor& momentum = p->slots().at("momentum");
        REQUIRE(momentum.shape() == p->shape());
        CHECK(p->updates() == 7);
        int wrong = 0;
        for (int64_t i = 0; i < momentum.numel(); ++i) wrong += momentum.at(i) != 3 * p->value().data<float>()[i];
        if (const auto* mask = p->find_transform<nn::Mask>())
            for (int64_t i = 0; i < momentum.numel(); ++i) wrong += (mask->mask().at(i) == 1) != (p->value().at(i) > 0);
        CHECK(wrong == 0);
    }
    CHECK((*model)(x).shape() == Shape{1, 10});
}

TEST_CASE("importance of single channels, by hand") {
    nn::Sequential net;
    auto& first = net.add<nn::Conv2d>("first", {.in = 1, .out = 3, .bias = false});
    auto& norm = net.add<nn::BatchNorm>("norm", {.channels = 3});
    auto& second = net.add<nn::Conv2d>("second", {.in = 3, .out = 2, .bias = false});
    first.weight.set_value(Tensor::of<float>({3, 1, 1, 1}, {1, -3, 2}));
    norm.weight.set_value(Tensor::of<float>({3}, {-4, 1, 0}));
    second.weight.set_value(Tensor::of<float>({2, 1, 1, 3}, {3, 1, 0, 4, 1, 2}));
    const Tensor x = random_tensor({1, 2, 2, 1});
    const ChannelGroups groups(net, x);
    size_t g = 0;
    while (groups.groups()[g].layers() != std::vector<std::string>{"first"}) ++g;
    const auto scores = [&](ChannelImportance kind) { return channel_importance(groups, net, {.kind = kind})[g]; };
    CHECK(scores(ChannelImportance::l1) == std::vector<double>{1, 3, 2});
    CHECK(scores(ChannelImportance::l2) == std::vector<double>{1, 3, 2});
    CHECK(scores(ChannelImportance::next_l2) == std::vector<double>{5, std::sqrt(2.0), 2});
    CHECK(scores(ChannelImportance::batch_norm) == std::vector<double>{4, 1, 0});
    CHECK(scores(ChannelImportance::geometric_median) == std::vector<double>{5, 9, 6});  // of 1, -3 and 2
    CHECK(scores(ChannelImportance::order) == std::vector<double>{0, -1, -2});
    CHECK(scores(ChannelImportance::random) != scores(ChannelImportance::l1));
    CHECK(message_of([&] { scores(ChannelImportance::taylor); }) ==
          "channel importance taylor: expected images to take gradients from, got none");
    CHECK(channel_importance_of("next-l2") == ChannelImportance::next_l2);
    CHECK(message_of([] { channel_importance_of("next-12"); }) ==
          "unknown channel importance 'next-12'; did you mean 'next-l2'?");
}

TEST_CASE("a channel that the loss does not feel has no importance by Taylor's formula") {
    const auto model = nn::make_model("resnet8", {.width = 0.5});
    for (const char* name : {"layer1.bn1.weight", "layer1.bn1.bias"})
        parameter(*model, name).mutable_value().mutable_data<float>()[2] = 0;
    nn::Parameter& next = parameter(*model, "layer1.conv2.weight");  // [8, 3, 3, 8]
    for (int64_t i = 2; i < next.value().numel(); i += 8) next.mutable_value().mutable_data<float>()[i] = 0;
    const auto images = data::shapes(data::Split::train, {.count = 128});
    ChannelGroups groups(*model, input_of(*model));
    const auto scores =
        channel_importance(groups, *model, {.kind = ChannelImportance::taylor, .data = &images, .images = 64});
    for (size_t g = 0; g < scores.size(); ++g)
        if (groups.groups()[g].layers() == std::vector<std::string>{"layer1.conv1"})
            for (size_t c = 0; c < 8; ++c) CHECK((scores[g][c] == 0) == (c == 2));
    CHECK(model->training());
    CHECK(!next.grad());
}

TEST_CASE("targets are met by the smallest ratio that meets them") {
    const auto cost = [](const ChannelReport& report) {
        return double(report.macs_after) / double(report.macs_before);
    };
    for (const bool global : {false, true}) {
        CAPTURE(global);
        auto model = nn::make_model("resnet20");
        const Tensor x = input_of(*model);
        const auto by_macs = prune_channels(*model, x, {.target_macs = 0.5, .global = global});
        CHECK(cost(by_macs) <= 0.5);
        CHECK(cost(by_macs) > 0.45);
        model = narrow("vgg-cifar");
        const auto by_size = prune_channels(*model, x, {.target_parameters = 0.25, .global = global});
        CHECK(by_size.parameters_after <= 0.25 * double(by_size.parameters_before));
        CHECK(by_size.parameters_after > 0.23 * double(by_size.parameters_before));
        model = narrow("ds-cnn");
        const auto activations = [](const Graph& graph) { return static_cast<double>(peak_activation_bytes(graph)); };
        const double before = activations(nn::trace(*model, input_of(*model)));
        prune_channels(*model, input_of(*model), {.target_cost = 0.6, .cost = activations, .global = global});
        CHECK(activations(nn::trace(*model, input_of(*model))) <= 0.6 * before);
    }
}

TEST_CASE("kept channels as multiples") {
    const auto model = nn::make_model("resnet20");
    const auto report = prune_channels(*model, input_of(*model), {.ratio = 0.45, .round_to = 8});
    CHECK(report.groups[0].layers[4] == "layer2.0.conv2 (16 of 32)");
    for (const auto& group : report.groups)
        if (group.fixed.empty()) CHECK(group.after % 8 == 0);
    for (const auto& [name, p] : model->named_parameters())
        if (p->value().rank() == 4) CHECK(p->value().dim(0) % 8 == 0);
}

TEST_CASE("ratios of single layers, and layers to be skipped") {
    for (const bool global : {false, true}) {
        const auto model = nn::make_model("lenet5");
        const auto report = prune_channels(
            *model, input_of(*model),
            {.ratio = 0.5, .layers = {{"conv*", 0.25}, {"conv1", 0.67}}, .skip = {"fc2"}, .global = global});
        CHECK(widths(report) == std::vector<int64_t>{2, 12, 60, 84, 10});
        CHECK(report.groups[3].fixed == "skipped");
    }
}

TEST_CASE("ranked together, the channels with small scales go, but never a whole group") {
    const auto model = nn::make_model("vgg-cifar", {.width = 0.125});
    for (const auto& [name, p] : model->named_parameters())
        if (name.ends_with("bn3.weight")) p->mutable_value().fill_(0.01);
    const auto report = prune_channels(
        *model, input_of(*model),
        {.ratio = 0.12, .global = true, .max_ratio = 0.75, .importance = {.kind = ChannelImportance::batch_norm}});
    CHECK(report.groups[3].before == 32);
    CHECK(report.groups[3].after == 8);
}

TEST_CASE("options that make no sense are refused in one line") {
    const auto model = nn::make_model("lenet5");
    const Tensor x = input_of(*model);
    const auto message = [&](const ChannelPruneOptions& o) {
        return message_of([&] { prune_channels(*model, x, o); });
    };
    CHECK(message({.ratio = 1}) == "prune channels: expected a ratio in [0, 1), got 1");
    CHECK(message({.ratio = -0.1}) == "prune channels: expected a ratio in [0, 1), got -0.1");
    CHECK(message({.ratio = 0.5, .target_macs = 0.5}) ==
          "prune channels: expected one of ratio, ratios and the targets, got 2");
    CHECK(message({.ratios = {0.5}}) == "prune channels: expected 4 ratios, one for each group that can be cut, got 1");
    CHECK(message({.target_macs = 1.5}) == "prune channels: expected a share of the MACs in (0, 1], got 1.5");
    CHECK(message({.layers = {{"conv3", 0.5}}}).starts_with("no parameter matches 'conv3'; did you mean 'conv"));
    CHECK(message({.layers = {{"fc3", 0.5}}}) ==
          "prune channels: no channels of 'fc3' can be cut: it is the network's output");
    CHECK(message({.skip = {"fc4"}}).starts_with("no parameter matches 'fc4'"));
    CHECK(message({.target_cost = 0.5}) == "prune channels: expected target_cost and cost together, got only one");
    CHECK(message({.target_macs = 0.001}).starts_with("prune channels: expected a target of at least 0.0"));
    CHECK(message({.round_to = 0}) == "prune channels: expected to round to multiples of 1 or more, got 0");
    CHECK(model->parameter_count() == 61706);
}
