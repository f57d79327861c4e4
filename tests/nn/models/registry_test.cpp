#include "lathe/nn/models/registry.h"

#include <doctest/doctest.h>

#include "lathe/core/random.h"
#include "lathe/core/graph/cost.h"
#include "lathe/data/open.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/resnet20.h"
#include "lathe/nn/run/inference.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::nn;
using lathe::testing::message_of;

namespace {

Tensor image(const Model& model, int64_t batch = 1) {
    Shape shape{batch};
    for (int64_t extent : model.input_shape()) shape.push_back(extent);
    Tensor x(shape);
    Random random(1);
    float* to = x.mutable_data<float>();
    for (int64_t i = 0; i < x.numel(); ++i) to[i] = static_cast<float>(random.uniform());
    return x;
}

int64_t macs_of(Model& model) { return macs(trace(model, image(model))); }

// What Keras calls the total: the running statistics count as well.
int64_t keras_total(Model& model) {
    int64_t count = model.parameter_count();
    for (const auto& [name, buffer] : model.named_buffers()) count += buffer->numel();
    return count;
}

std::vector<std::string> parameter_names(Model& model) {
    std::vector<std::string> names;
    for (const auto& [name, parameter] : model.named_parameters()) names.push_back(name);
    return names;
}

// Static objects of this file are made before those of the library that is linked behind it.
const std::string before_main = message_of([] {
    for (const std::string& name : model_names()) {
        const auto model = make_model(name, {.width = 0.25});
        const auto again = from_file(to_file(*model), "before main");
        Inference(*again, again->example())(again->example());
    }
    load_weights(*make_model("lenet5"), to_file(*make_model("lenet5")), "before main");
    data::open("shapes", "", data::Split::train, {.count = 4}).batch({0});
});

}  // namespace

TEST_CASE("networks have the parameters and multiply-accumulates of their papers") {
    struct Expected {
        const char* name;
        ModelOptions options;
        int64_t parameters, macs;
    };
    const Expected table[] = {
        {"lenet5", {}, 61706, 416520},
        {"vgg-cifar", {}, 9228362, 605754368},
        {"resnet20", {}, 269722, 40551040},
        {"mobilenetv2", {}, 3504872, 300774272},
        {"mobilenetv2", {.classes = 10, .input = {32, 32, 3}}, 2236682, 87976448},
        {"resnet8", {}, 78186, 12501632},
        {"mobilenetv1-025", {}, 216322, 7489664},
        {"ds-cnn", {}, 23756, 2656768},
        {"autoencoder", {}, 267928, 264192},
    };
    for (const Expected& expected : table) {
        CAPTURE(expected.name);
        const auto model = make_model(expected.name, expected.options);
        CHECK(model->parameter_count() == expected.parameters);
        CHECK(macs_of(*model) == expected.macs);
    }
}

TEST_CASE("the MLPerf Tiny networks have the totals that Keras prints") {
    for (const auto& [name, total] : {std::pair{"resnet8", 78666}, {"mobilenetv1-025", 221794}, {"ds-cnn", 24908},
                                      {"autoencoder", 269992}}) {
        CAPTURE(name);
        CHECK(keras_total(*make_model(name)) == total);
    }
}

TEST_CASE("every network trains and evaluates on a batch") {
    for (const std::string& name : model_names()) {
        CAPTURE(name);
        const ModelOptions small = name == "mobilenetv2"
                                       ? ModelOptions{.classes = 3, .width = 0.25, .input = {32, 32, 3}}
                                       : ModelOptions{.width = 0.25};
        const auto model = make_model(name, small);
        const Variable y = (*model)(image(*model, 2));
        const bool reconstructs = name == "autoencoder";
        CHECK(y.shape() == Shape{2, reconstructs ? model->input_shape()[0] : model->classes()});
        backward(y, Tensor::full(y.shape(), 1));
        for (const auto& [parameter_name, parameter] : model->named_parameters()) {
            CAPTURE(parameter_name);
            CHECK(parameter->grad().shape() == parameter->shape());
        }
        model->eval();
        CHECK((*model)(image(*model)).shape()[0] == 1);
    }
}

TEST_CASE("parameters carry the names of PyTorch's models") {
    CHECK(parameter_names(*make_model("lenet5")) ==
          std::vector<std::string>{"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "fc1.weight", "fc1.bias",
                                   "fc2.weight", "fc2.bias", "fc3.weight", "fc3.bias"});

    std::vector<std::string> vgg, resnet{"conv1.weight", "bn1.weight", "bn1.bias"};
    for (int i = 0; i < 8; ++i)
        for (const char* suffix : {"conv#.weight", "bn#.weight", "bn#.bias"})
            vgg.push_back("backbone." +
                          std::string(suffix).replace(std::string(suffix).find('#'), 1, std::to_string(i)));
    vgg.insert(vgg.end(), {"classifier.weight", "classifier.bias"});
    CHECK(parameter_names(*make_model("vgg-cifar", {.width = 0.125})) == vgg);

    for (int layer = 1; layer <= 3; ++layer)
        for (int block = 0; block < 3; ++block)
            for (const char* suffix :
                 {"conv1.weight", "bn1.weight", "bn1.bias", "conv2.weight", "bn2.weight", "bn2.bias"})
                resnet.push_back("layer" + std::to_string(layer) + "." + std::to_string(block) + "." + suffix);
    resnet.insert(resnet.end(), {"fc.weight", "fc.bias"});
    CHECK(parameter_names(*make_model("resnet20")) == resnet);
    for (auto& [name, buffer] : make_model("resnet20")->named_buffers())
        CHECK((name.ends_with("running_mean") || name.ends_with("running_var")));

    std::vector<std::string> mobilenet;
    auto conv_bn = [&](const std::string& conv, const std::string& bn) {
        mobilenet.insert(mobilenet.end(), {conv + ".weight", bn + ".weight", bn + ".bias"});
    };
    conv_bn("features.0.0", "features.0.1");
    for (int block = 1; block <= 17; ++block) {
        const std::string prefix = "features." + std::to_string(block) + ".conv.";
        int next = 0;
        for (; next < (block == 1 ? 1 : 2); ++next)
            conv_bn(prefix + std::to_string(next) + ".0", prefix + std::to_string(next) + ".1");
        conv_bn(prefix + std::to_string(next), prefix + std::to_string(next + 1));
    }
    conv_bn("features.18.0", "features.18.1");
    mobilenet.insert(mobilenet.end(), {"classifier.1.weight", "classifier.1.bias"});
    CHECK(parameter_names(*make_model("mobilenetv2", {.width = 0.35})) == mobilenet);
}

TEST_CASE("widths and input sizes") {
    CHECK(make_model("vgg-cifar", {.widths = {45, 90, 179, 179, 358, 358, 358, 512}})->parameter_count() == 5013666);
    CHECK(make_model("mobilenetv2", {.width = 0.5, .input = {32, 32, 3}})->parameter_count() ==
          1968680);  // torchvision's, width_mult = 0.5
    CHECK(make_model("mobilenetv2", {.width = 1.4, .input = {32, 32, 3}})->parameter_count() == 6108776);  // and 1.4
    CHECK(make_model("lenet5", {.input = {32, 40, 3}})->parameter_count() ==
          24 * 19 + 2416 + 120 * (16 * 6 * 8 + 1) + 10164 + 850);
    auto wide = models::resnet20({.classes = 100, .width = 2});
    CHECK(wide.classes() == 100);
    CHECK(wide(image(wide)).shape() == Shape{1, 100});
}

TEST_CASE("options that a network cannot have are refused in one line") {
    auto message = [](const std::string& name, const ModelOptions& options) {
        try {
            make_model(name, options);
        } catch (const Error& error) {
            return std::string(error.what());
        }
        return std::string("no error");
    };
    CHECK(message("resnet02", {}) == "unknown model 'resnet02'; did you mean 'resnet20'?");
    CHECK(message("xyz", {}) == "unknown model 'xyz'");
    CHECK(message("resnet20", {.width = 0}) == "resnet20: expected a width multiplier above 0 and up to 64, got 0");
    CHECK(message("resnet20", {.width = 2, .widths = {1, 2, 3}}) ==
          "resnet20: expected a width multiplier or a list of widths, got both");
    CHECK(message("resnet20", {.widths = {16, 32}}) == "resnet20: expected 3 widths, got 2");
    CHECK(message("resnet20", {.widths = {16, 0, 64}}) == "resnet20: expected widths from 1 to 65536, got 0");
    CHECK(message("resnet20", {.widths = {64, 32, 16}})
              .starts_with("resnet20: basic_block: expected at least as many channels out"));
    CHECK(message("resnet20", {.classes = -1}) == "resnet20: expected 1 to 65536 classes, got -1");
    CHECK(message("resnet20", {.dropout = 0.5}) == "resnet20: expected no dropout (it has none), got 0.5");
    CHECK(message("mobilenetv2", {.dropout = 1}) == "mobilenetv2: expected a dropout probability below 1, got 1");
    CHECK(message("autoencoder", {.classes = 10}) == "autoencoder: expected no classes (it has none), got 10");
    CHECK(message("vgg-cifar", {.input = {15, 32, 3}}) ==
          "vgg-cifar: expected images of at least 16x16 pixels, got 15x32");
    CHECK(message("lenet5", {.input = {28, 28}}) == "lenet5: expected an input like [28, 28, 1], got [28, 28]");
    CHECK(message("lenet5", {.input = {28, 28, 1 << 20}}).starts_with("lenet5: expected input sizes from 1 to 16384"));
}

TEST_CASE("networks can be made, saved, loaded and run before main") { CHECK(before_main == "no error"); }

TEST_CASE("the same seed gives the same first weights") {
    auto first_weights = [](uint64_t value) {
        seed(value);
        return make_model("resnet20", {.width = 0.25})->state();
    };
    const auto a = first_weights(7), b = first_weights(7), c = first_weights(8);
    for (const auto& [name, tensor] : a)
        for (int64_t i = 0; i < tensor.numel(); ++i) REQUIRE(tensor.at(i) == b.at(name).at(i));
    CHECK(a.at("conv1.weight").at(0) != c.at("conv1.weight").at(0));
}
