#include "lathe/nn/files/pytorch.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lathe/nn/files/model_file.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::nn;
using namespace lathe::testing;

namespace {

// A convolution and a linear layer, by names that the caller chooses.
std::unique_ptr<Sequential> network(const std::string& first = "conv") {
    auto net = std::make_unique<Sequential>();
    net->add<Conv2d>(first, {.in = 2, .out = 3, .kernel = 3});
    net->add<Linear>("fc", {.in = 3, .out = 2});
    return net;
}

TensorFile state_dict(const std::string& prefix = "") {
    TensorFile file;
    uint64_t number = 0;
    for (const auto& [name, tensor] : network()->state())
        file.tensors[prefix + name] = random_tensor(tensor.shape(), ++number);
    return file;
}

std::string failure(const TensorFile& file, Module& module) {
    return message_of([&] { load_weights(module, file, "f"); });
}

}  // namespace

TEST_CASE("PyTorch files: what wraps a network is taken off its names, in any nesting") {
    const auto plain = network();
    load_weights(*plain, state_dict(), "f");
    for (const std::string prefix : {"module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.model.",
                                     "model.model.module."}) {
        CAPTURE(prefix);
        const auto net = network();
        TensorFile file = state_dict(prefix);
        load_weights(*net, file, "f");
        for (const auto& [name, tensor] : plain->state()) CHECK(same(tensor, net->state().at(name)));
        // An averaged model counts its updates beside the network that it wraps.
        file.tensors["n_averaged"] = Tensor::of<int64_t>({}, {7});
        CHECK(failure(file, *net) == "no error");
        file.tensors.erase("n_averaged");
        file.tensors["module.n_averaged"] = Tensor::of<int64_t>({}, {7});
        CHECK((failure(file, *net) == "no error") == prefix.starts_with("module."));
    }
}

TEST_CASE("PyTorch files: a network's own names stay, whatever they are") {
    auto net = std::make_unique<Sequential>();
    net->add<Conv2d>("model", {.in = 2, .out = 3, .kernel = 3});
    TensorFile file;
    for (const auto& [name, tensor] : net->state()) file.tensors["module." + name] = random_tensor(tensor.shape());
    CHECK(failure(file, *net) == "no error");
    for (const auto& [name, tensor] : net->state()) CHECK(same(tensor, file.tensors.at("module." + name)));
}

TEST_CASE("PyTorch files: what else stands before all names is named") {
    const auto net = network();
    CHECK(failure(state_dict("backbone."), *net) ==
          "f: load: all names begin with 'backbone.', which no name of this model does");
    CHECK(failure(state_dict("module.backbone."), *net) ==
          "f: load: all names begin with 'module.backbone.', which no name of this model does");
    TensorFile some = state_dict();
    some.tensors["module.conv.weight"] = some.tensors.extract("conv.weight").mapped();
    CHECK(failure(some, *net) == "f: load: 'conv.weight' is missing");
}

TEST_CASE("PyTorch files: a pruned weight becomes the weight with its mask") {
    const auto net = network();
    TensorFile file = state_dict("module.");
    const Tensor dense = file.tensors.extract("module.conv.weight").mapped(), keep = random_mask(dense.shape(), 3);
    file.tensors["module.conv.weight_orig"] = dense;
    file.tensors["module.conv.weight_mask"] = keep.to(DType::f32);
    load_weights(*net, file, "f");
    CHECK(same(net->state().at("conv.weight"), dense));
    CHECK(same(net->state().at("conv.weight.mask"), keep));
    for (const auto& [name, parameter] : net->named_parameters())
        CHECK((parameter->find_transform<Mask>() != nullptr) == (name == "conv.weight"));

    file.tensors["module.conv.weight_mask"].mutable_data<float>()[5] = 0.5f;
    CHECK(failure(file, *net) == "f: load: 'conv.weight_mask': expected a mask of 0 and 1, got 0.5");
    file.tensors["module.conv.weight_mask"] = Tensor::full({1, 2, 3, 3}, 1);
    CHECK(failure(file, *net).starts_with("f: conv.weight.mask: weight transform: expected a tensor that lies along"));
    file.tensors.erase("module.conv.weight_mask");
    CHECK(failure(file, *net) == "f: load: 'conv.weight' is missing");
}

TEST_CASE("PyTorch files: float64 is rounded to float32") {
    const auto net = network();
    TensorFile file = state_dict();
    for (auto& [name, tensor] : file.tensors) tensor = random_tensor(tensor.shape(), 5, DType::f64);
    load_weights(*net, file, "f");
    for (const auto& [name, tensor] : net->state()) CHECK(same(tensor, file.tensors.at(name).to(DType::f32)));
    file.tensors["fc.bias"] = Tensor::of<double>({2}, {1, 1e300});
    CHECK(failure(file, *net) == "f: load: 'fc.bias': expected finite values of f32, got 1e+300");
}

TEST_CASE("files with weights that are no numbers are refused") {
    const float nan = std::nanf(""), infinity = INFINITY;
    const auto model = make_model("resnet20", {.width = 0.25});
    const TensorFile file = to_file(*model);
    const auto with = [&](const std::string& name, float value) {
        TensorFile changed = file;
        changed.tensors[name] = changed.tensors[name].clone();
        changed.tensors[name].mutable_data<float>()[1] = value;
        const std::string whole = message_of([&] { from_file(changed, "f"); });
        CHECK(failure(changed, *model) == whole);
        return whole;
    };
    CHECK(with("fc.bias", 1e30f) == "no error");
    CHECK(with("fc.bias", nan) == "f: load: 'fc.bias': expected finite values of f32, got nan");
    CHECK(with("conv1.weight", -infinity) == "f: load: 'conv1.weight': expected finite values of f32, got -inf");
    CHECK(with("bn1.running_var", nan) == "f: load: 'bn1.running_var': expected numbers, got nan");
}
