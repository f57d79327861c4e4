// Networks and blocks against what PyTorch computed with the same weights (tests/fixtures/make_network_fixtures.py).
#include <doctest/doctest.h>

#include "lathe/nn/blocks/inverted_residual.h"
#include "lathe/nn/blocks/squeeze_excite.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/support/recorded.h"

using namespace lathe;
using namespace lathe::nn;
using namespace lathe::testing;

namespace {

TensorFile recorded(const std::string& name) {
    return read_safetensors("tests/fixtures/networks/" + name + ".safetensors");
}

// The tensors whose name begins with the prefix, without it.
TensorFile part(const TensorFile& file, const std::string& prefix) {
    TensorFile found;
    for (const auto& [name, tensor] : file.tensors)
        if (name.starts_with(prefix)) found.tensors[name.substr(prefix.size())] = tensor;
    return found;
}

// In f64 what is compared are the formulas; the recorded numbers are rounded to f32.
void check_against(Module& module, const std::string& name) {
    const TensorFile file = recorded(name);
    const Tensor& x32 = file.tensors.at("x");
    load_weights(module, part(file, "state."), name);
    module.eval();
    CHECK(relative_difference(module(x32).value(), file.tensors.at("evaluated")) < 1e-5);

    module.convert(DType::f64);
    CHECK(relative_difference(module(x32.to(DType::f64)).value(), file.tensors.at("evaluated")) < 1e-6);
    module.train();
    const Variable x = Variable::leaf(x32.to(DType::f64));
    const Variable y = module(x);
    CHECK(relative_difference(y.value(), file.tensors.at("trained")) < 1e-6);
    backward(y, file.tensors.at("dy").to(DType::f64));
    CHECK(relative_difference(x.grad(), file.tensors.at("grad.x")) < 1e-6);
    for (const auto& [parameter_name, parameter] : module.named_parameters()) {
        CAPTURE(parameter_name);
        const Tensor expected = parameter->layout().from_file(file.tensors.at("grad." + parameter_name));
        if (largest_magnitude(expected) < 1e-12)
            continue;  // a bias in front of a batch norm: both sides are rounding errors
        CHECK(relative_difference(parameter->grad(), expected) < 1e-6);
    }
    for (const auto& [buffer_name, buffer] : module.named_buffers()) {
        CAPTURE(buffer_name);
        CHECK(relative_difference(*buffer, file.tensors.at("after." + buffer_name)) < 1e-6);
    }
}

}  // namespace

TEST_CASE("networks compute what PyTorch computes") {
    const std::pair<const char*, ModelOptions> networks[] = {
        {"lenet5", {.classes = 4, .widths = {3, 5, 12, 7}, .input = {16, 16, 2}}},
        {"vgg-cifar", {.classes = 4, .widths = {4, 5, 6, 6, 8, 7, 8, 8}}},
        {"resnet20", {.classes = 4, .widths = {4, 6, 11}, .input = {16, 16, 3}}},
        {"mobilenetv2", {.classes = 4, .widths = {4, 3, 4, 4, 5, 4, 6, 6, 16}, .input = {16, 16, 3}, .dropout = 0}},
        {"resnet8", {.classes = 4, .widths = {4, 6, 9}, .input = {15, 16, 3}}},
        {"mobilenetv1-025", {.widths = {4, 5, 6, 6, 8, 8, 9, 9, 9, 9, 9, 9, 10, 10}, .input = {33, 32, 3}}},
        {"ds-cnn", {.classes = 5, .widths = {6, 7, 8, 6, 7}, .dropout = 0}},
        {"autoencoder", {.width = 12. / 128, .input = {30}}},
    };
    for (const auto& [name, options] : networks) {
        CAPTURE(name);
        check_against(*make_model(name, options), name);
    }
}

TEST_CASE("blocks compute what PyTorch computes") {
    SUBCASE("squeeze and excite") {
        SqueezeExcite block({.channels = 6, .squeezed = 3});
        check_against(block, "block-squeeze-excite");
    }
    SUBCASE("inverted residual of MobileNetV3") {
        InvertedResidual block(
            {.in = 4, .out = 4, .expanded = 12, .kernel = 5, .activation = Activation::hard_swish, .squeezed = 5});
        check_against(block, "block-mobilenetv3");
    }
    SUBCASE("inverted residual with stride") {
        InvertedResidual block({.in = 4,
                                .out = 6,
                                .expanded = 12,
                                .kernel = 7,
                                .stride = 2,
                                .activation = Activation::relu,
                                .squeezed = 3});
        check_against(block, "block-strided");
    }
}
