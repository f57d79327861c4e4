#include "lathe/nn/module.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lathe/core/tape/gradcheck.h"
#include "lathe/core/ops/matmul.h"
#include "lathe/nn/layers/activation.h"
#include "lathe/nn/blocks/basic_block.h"
#include "lathe/nn/layers/dropout.h"
#include "lathe/nn/layers/embedding.h"
#include "lathe/nn/layers/flatten.h"
#include "lathe/nn/blocks/inverted_residual.h"
#include "lathe/nn/layers/layer_norm.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pad.h"
#include "lathe/nn/layers/pool2d.h"
#include "lathe/nn/layers/softmax.h"
#include "lathe/nn/blocks/squeeze_excite.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/registry.h"
#include "lathe/optim/optimizer.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::nn;
using namespace lathe::testing;

TEST_CASE("freezing by pattern") {
    const auto model = make_model("resnet20", {.width = 0.25});
    auto trainable = [&] {
        int count = 0;
        for (const auto& [name, parameter] : model->named_parameters()) count += parameter->trainable();
        return count;
    };
    CHECK(trainable() == 59);
    CHECK(model->freeze("layer1") == 18);           // a name covers what is below it
    CHECK(model->freeze("*.bn2.*") == 18);
    CHECK(trainable() == 59 - 18 - 12);
    CHECK(model->freeze("*", false) == 59);
    CHECK(model->freeze("conv1.weight") == 1);
    CHECK(model->freeze("*2*.bn2.b*s") == 5);
    CHECK(model->freeze("layer*.0.*conv1") == 3);
    std::string stars(5000, '*'), every;
    stars.back() = 'x';
    CHECK(message_of([&] { model->freeze(stars); }).ends_with("x'"));  // at once: no matching tries all ways
    for (int i = 0; i < 2000; ++i) every += "*e";
    CHECK(message_of([&] { model->freeze(every); }).starts_with("freeze: no parameter matches '*e*e"));
    CHECK(message_of([&] { model->freeze("conv1.weihgt"); }) ==
          "freeze: no parameter matches 'conv1.weihgt'; did you mean 'conv1.weight'?");

    model->freeze("*");
    model->freeze("fc", false);
    const Variable y = (*model)(random_tensor({2, 32, 32, 3}));
    backward(y, Tensor::full(y.shape(), 1));
    for (const auto& [name, parameter] : model->named_parameters())
        CHECK(static_cast<bool>(parameter->grad()) == name.starts_with("fc."));
}

TEST_CASE("errors and traced ops name the layer") {
    const auto model = make_model("lenet5");
    CHECK(message_of([&] { (*model)(Tensor::zeros({1, 20, 28, 1})); }) ==
          "fc1: linear: expected x [..., 400], got [1, 240]");
    CHECK(message_of([&] { (*model)(Tensor::zeros({1, 28, 28, 3})); }) ==
          "lenet5: expected input [N, H, W, 1], got [1, 28, 28, 3]");
    auto resnet = make_model("resnet20", {.width = 0.25});
    for (auto& [name, parameter] : resnet->named_parameters())
        if (name == "layer2.1.conv2.weight") parameter->select_(3, {0, 1, 2});
    CHECK(message_of([&] {
              (*resnet)(Tensor::zeros({2, 8, 8, 3}));
          }).starts_with("layer2.1.conv2: conv2d: expected input"));
}

TEST_CASE("a mask trains inside a network: no gradient where it is zero") {
    const auto model = make_model("lenet5", {.width = 0.5});
    for (const auto& [name, parameter] : model->named_parameters())
        if (parameter->value().rank() > 1)
            parameter->add_transform(
                std::make_unique<Mask>(random_mask(parameter->shape(), parameter->value().numel())));
    const Variable y = (*model)(random_tensor({3, 28, 28, 1}));
    backward(y, random_tensor(y.shape(), 1));
    for (const auto& [name, parameter] : model->named_parameters()) {
        const Mask* mask = parameter->find_transform<Mask>();
        if (!mask) continue;
        int64_t moved = 0;
        for (int64_t i = 0; i < parameter->value().numel(); ++i) {
            if (!mask->mask().at(i)) REQUIRE(parameter->grad().at(i) == 0);
            moved += parameter->grad().at(i) != 0;
        }
        CHECK(moved > 0);
    }
}

TEST_CASE("layers compute with the sizes that their tensors have after surgery") {
    SUBCASE("channels inside an inverted residual, with its depthwise convolution and squeeze and excite") {
        InvertedResidual block({.in = 4, .out = 4, .expanded = 8, .squeezed = 2});
        const Tensor x = random_tensor({2, 5, 5, 4});
        const std::vector<int64_t> keep{0, 2, 3, 5, 6};
        // Without the channels that go, the block computes the same: they are made to pass on zeros.
        std::vector<bool> kept(8, false);
        for (int64_t channel : keep) kept[static_cast<size_t>(channel)] = true;
        for (const auto& [name, parameter] : block.named_parameters())
            if (name == "conv.1.1.weight" || name == "conv.1.1.bias")
                for (int64_t i = 0; i < 8; ++i)
                    if (!kept[static_cast<size_t>(i)]) parameter->mutable_value().mutable_data<float>()[i] = 0;
        block.eval();
        const Tensor before = block(x).value();
        for (const auto& [name, parameter] : block.named_parameters()) {
            const bool consumes = name == "conv.se.fc1.weight" || name == "conv.2.weight";
            if (consumes) parameter->select_(3, keep);
            else if (parameter->shape()[0] == 8) parameter->select_(0, keep);
        }
        for (const auto& [name, buffer] : block.named_buffers())
            if (buffer->numel() == 8) *buffer = buffer->select(0, keep);
        const Tensor after = block(x).value();
        for (int64_t i = 0; i < before.numel(); ++i) CHECK(after.at(i) == doctest::Approx(before.at(i)).epsilon(1e-5));
    }
    SUBCASE("a shortcut without parameters pads to the channels that there are") {
        BasicBlock block({.in = 4, .out = 8, .stride = 2});
        for (const auto& [name, parameter] : block.named_parameters())
            if (name == "conv2.weight" || name.starts_with("bn2")) parameter->select_(0, {0, 2, 3, 4, 5, 6});
        for (const auto& [name, buffer] : block.named_buffers())
            if (name.starts_with("bn2")) *buffer = buffer->select(0, {0, 2, 3, 4, 5, 6});
        CHECK(block(random_tensor({2, 6, 6, 4})).shape() == Shape{2, 3, 3, 6});
    }
}

namespace {

// A pipeline stage that puts another value in the weight's place: how gradcheck's variables become a block's weights.
struct Substitute : WeightTransform {
    Variable value;
    uint64_t count = 0;
    void set(const Variable& v) { value = v, ++count; }

    std::string kind() const override { return "substitute"; }
    Stage stage() const override { return Stage::quantize; }
    Variable apply(const Variable&, Box&) override { return value; }
    std::string describe() const override { return "substitute"; }
    uint64_t version() const override { return count; }
};

// Checks the gradients of the input and of every parameter.
GradcheckResult gradcheck_module(Module& module, const Shape& input) {
    module.convert(DType::f64);
    std::vector<Tensor> inputs{random_tensor(input, 1, DType::f64)};
    std::vector<Substitute*> weights;
    for (const auto& [name, parameter] : module.named_parameters()) {
        inputs.push_back(random_tensor(parameter->shape(), 20 + inputs.size(), DType::f64));
        weights.push_back(static_cast<Substitute*>(&parameter->add_transform(std::make_unique<Substitute>())));
    }
    return gradcheck(
        [&](const std::vector<Variable>& x) {
            for (size_t i = 0; i < weights.size(); ++i) weights[i]->set(x[i + 1]);
            return module(x[0]);
        },
        inputs);
}

}  // namespace

TEST_CASE("gradients of blocks in float64") {
    auto check_block = [](Module& block, const Shape& input) {
        const GradcheckResult result = gradcheck_module(block, input);
        CHECK_MESSAGE(result.passed, result.message);
    };
    SUBCASE("basic block, subsampled") {
        BasicBlock block({.in = 3, .out = 6, .stride = 2});
        check_block(block, {2, 5, 6, 3});
    }
    SUBCASE("basic block, projected") {
        BasicBlock block({.in = 3, .out = 2, .stride = 2, .shortcut = Shortcut::projection, .same = true});
        check_block(block, {2, 5, 6, 3});
    }
    SUBCASE("inverted residual") {
        InvertedResidual block({.in = 3, .out = 3, .expanded = 6, .squeezed = 2});
        check_block(block, {3, 5, 4, 3});
    }
    SUBCASE("squeeze and excite") {
        SqueezeExcite block({.channels = 4, .squeezed = 3});
        check_block(block, {2, 3, 4, 4});
    }
}

TEST_CASE("simple layers do what their ops do") {
    const Tensor x = random_tensor({2, 4, 6, 3});
    AvgPool2d avg({.kernel = 2});
    CHECK(avg(x).shape() == Shape{2, 2, 3, 3});
    MaxPool2d max({.kernel = 3, .stride = 2, .padding = 1});
    CHECK(max(x).shape() == Shape{2, 2, 3, 3});
    Pad pad({.padding = {1, 2}, .value = 7});
    CHECK(pad(x).shape() == Shape{2, 6, 10, 3});
    CHECK(pad(x).value().at(0) == 7);
    Softmax softmax;
    const Tensor probabilities = softmax(x).value();
    CHECK(probabilities.at(0) + probabilities.at(1) + probabilities.at(2) == doctest::Approx(1));
    Tanh tanh;
    CHECK(tanh(x).value().at(5) == doctest::Approx(std::tanh(x.at(5))));
    Embedding embedding({.rows = 5, .features = 2});
    const Tensor rows = embedding(Tensor::of<int32_t>({1, 3}, {4, 0, 4})).value();
    CHECK(rows.shape() == Shape{1, 3, 2});
    CHECK(rows.at(0) == embedding.weight.value().at(8));

    LayerNorm norm({.features = 3});
    const Tensor normal = norm(x).value();
    CHECK(normal.at(0) + normal.at(1) + normal.at(2) == doctest::Approx(0).epsilon(1e-5));

    Dropout dropout({.p = 0.5});
    const Tensor dropped = dropout(x).value();
    int zeros = 0;
    for (int64_t i = 0; i < x.numel(); ++i) zeros += dropped.at(i) == 0;
    CHECK(zeros > 40);
    CHECK(zeros < 104);
    dropout.eval();
    CHECK(same(dropout(x).value(), x));
}

TEST_CASE("layers refuse options that make no sense") {
    CHECK(message_of([] { Conv2d({.in = 3}); }) == "conv2d: expected at least 1 input and output channel, got 3 and 0");
    CHECK(message_of([] { Conv2d({.in = 3, .out = 4, .groups = 2}); }) ==
          "conv2d: expected groups that divide 3 input and 4 output channels, got 2");
    CHECK(message_of([] {
              Conv2d({.in = 3, .out = 4, .kernel = {3, 0}});
          }) == "conv2d: expected a kernel of at least 1x1, got 3x0");
    CHECK(message_of([] { Linear({.in = 10, .out = 2, .pixels = 3}); }) ==
          "linear: expected pixels that divide 10 inputs, got 3");
    CHECK(message_of([] { BatchNorm({.channels = 4, .activation = Activation::gelu}); }) ==
          "batch_norm: expected the activation none, relu, relu6 or hard_swish, got gelu");
    CHECK(message_of([] { Dropout({.p = 1}); }) == "dropout: expected a probability in [0, 1), got 1");
    CHECK(message_of([] { MaxPool2d({.kernel = 2, .padding = 2}); }) ==
          "max_pool2d: expected padding of at least 0 and smaller than the kernel");
    CHECK(message_of([] { InvertedResidual({.in = 4, .out = 4, .expanded = 8, .kernel = 4}); }) ==
          "inverted_residual: expected an odd kernel, got 4");
    Sequential net;
    net.add<ReLU>("relu");
    CHECK(message_of([&] { net.add<ReLU>("relu"); }) == "module: the name 'relu' is taken");
}

namespace {

// One weight used by two layers, and a layer used twice.
struct Tied : Module {
    struct Holder : Module {
        Parameter own{Tensor::full({2, 2}, 1), {.kind = FileOrder::plain}};
        Parameter* weight = &own;
        Holder() = default;
        explicit Holder(Holder& other) : weight(&other.own) {}
        void enter() { parameter("weight", *weight); }
        Variable forward(const Variable& x) override { return ops::matmul(x, weight->effective()); }
    };
    Holder encoder, decoder{encoder};
    BatchNorm norm{{.channels = 2}};
    Tied() {
        encoder.enter(), decoder.enter();
        child("encoder", encoder), child("decoder", decoder);
        child("norm", norm), child("again", norm);
    }
    Variable forward(const Variable& x) override { return norm(decoder(norm(encoder(x)))); }
};

}  // namespace

TEST_CASE("a tied weight is stepped, counted and saved once, under its first name; files may use the others") {
    Tied net;
    CHECK(net.parameter_count() == 4 + 4);
    std::vector<std::string> names;
    for (const auto& [name, parameter] : net.named_parameters()) names.push_back(name);
    CHECK(names == std::vector<std::string>{"encoder.weight", "norm.weight", "norm.bias"});
    CHECK(net.named_parameters("decoder").front().first == "encoder.weight");
    net.encoder.own.set_grad(Tensor::full({2, 2}, 1));
    optim::sgd({.lr = 0.1, .momentum = 0})->step(net);
    CHECK(net.encoder.own.value().at(0) == doctest::Approx(0.9));

    auto state = net.state();
    CHECK(state.size() == 5);
    Tied other;
    other.load_state(state);
    CHECK(same(other.encoder.own.value(), net.encoder.own.value()));
    // PyTorch's state_dict has both names.
    state["decoder.weight"] = Tensor::full({2, 2}, 3);
    CHECK(message_of([&] { other.load_state(state); }) == "load: the names of 'encoder.weight' have different tensors");
    state.erase("encoder.weight");
    state["again.running_mean"] = state.at("norm.running_mean");
    other.load_state(state);
    CHECK(other.encoder.own.value().at(0) == 3);
}
