#include "lathe/nn/models/description.h"

#include <doctest/doctest.h>

#include "lathe/core/ops/cross_entropy.h"
#include "lathe/core/random.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/optim/optimizer.h"
#include "lathe/tests/nn/branches.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::nn;
using namespace lathe::testing;

namespace {

const std::string kText = R"({
  "input": [16, 16, 3],
  "layers": [
    {"name": "conv1", "op": "conv2d", "out": 16, "kernel": 3, "padding": 1},
    {"name": "bn1", "op": "batch_norm", "activation": "relu"},
    {"name": "left", "op": "conv2d", "out": 16, "kernel": 3, "padding": 1, "groups": 4},
    {"name": "right", "op": "conv2d", "inputs": ["bn1"], "out": 16, "bias": false},
    {"name": "both", "op": "concat", "inputs": ["left", "right"]},
    {"name": "pool", "op": "global_avg_pool"},
    {"name": "fc", "op": "linear", "out": "classes"}
  ],
  "classes": 10
})";

std::string refused(const std::string& from, const std::string& to) {
    std::string text = kText;
    text.replace(text.find(from), from.size(), to);
    return message_of([&] { model_from_description(text, "net"); });
}

}  // namespace

TEST_CASE("a description gives the weights and the training of the same network in C++") {
    seed(3);
    Branches source(10, false);
    seed(3);
    const auto described = model_from_description(kText, "net");
    CHECK(described->classes() == 10);
    const auto check_same = [&] {
        const auto left = source.state(), right = described->state();
        REQUIRE(left.size() == right.size());
        for (const auto& [name, tensor] : left) CHECK(same(tensor, right.at(name)));
    };
    check_same();
    const auto sgd = optim::sgd({.lr = 0.1, .momentum = 0.9});
    for (int step = 0; step < 3; ++step)
        for (Module* net : {static_cast<Module*>(&source), static_cast<Module*>(described.get())}) {
            const Tensor x = random_tensor({4, 16, 16, 3}, static_cast<uint64_t>(step));
            backward(ops::cross_entropy((*net)(x), Tensor::of<int32_t>({4}, {1, 5, 9, 0})));
            sgd->step(*net);
            net->zero_grad();
        }
    check_same();
    const TensorFile file = to_file(*described);
    CHECK(file.tensors.at("left.weight").shape() == Shape{16, 4, 3, 3});  // in PyTorch's order
    const auto loaded = from_file(file, "net");
    loaded->eval();
    source.eval();
    const NoGrad no_grad;
    const Tensor x = random_tensor({2, 16, 16, 3});
    CHECK(same((*loaded)(x).value(), source(x).value()));
}

TEST_CASE("sizes and classes may be asked for; sizes are inferred") {
    const auto model = model_from_description(kText, "net", {.classes = 4, .input = {20, 12, 1}});
    CHECK(model->classes() == 4);
    CHECK(model->input_shape() == Shape{20, 12, 1});
    CHECK((*model)(Tensor::zeros({2, 20, 12, 1})).shape() == Shape{2, 4});
}

TEST_CASE("blocks, flattened images, plain ops with attributes") {
    const auto model = model_from_description(R"({"input": [8, 8, 4], "layers": [
        {"name": "block", "op": "basic_block", "out": 8, "stride": 2},
        {"name": "mbv2", "op": "inverted_residual", "out": 8, "expanded": 16},
        {"name": "se", "op": "squeeze_excite", "squeezed": 2},
        {"name": "half", "op": "scale", "factor": 0.5},
        {"name": "sum", "op": "add", "inputs": ["half", "se"], "activation": "relu"},
        {"name": "flat", "op": "flatten"},
        {"name": "fc", "op": "linear", "out": 3}]})", "blocks");
    CHECK((*model)(random_tensor({2, 8, 8, 4})).shape() == Shape{2, 3});
    for (const auto& [name, parameter] : model->named_parameters())
        if (name == "fc.weight") CHECK(parameter->layout().pixels == 16);
}

TEST_CASE("a description that does not hold is refused with the layer and the reason") {
    CHECK(refused("{", "") == "net: description: expected JSON in UTF-8");
    CHECK(refused("\"input\"", "\"inputs\"") == "net: no member is called 'inputs'; did you mean 'input'?");
    CHECK(refused("conv2d", "conv3d") == "net.conv1: no op is called 'conv3d'; did you mean 'conv2d'?");
    CHECK(refused("\"out\": 16, \"kernel\": 3, \"padding\": 1}", "\"kernel\": 3}") ==
          "net.conv1: expected the option 'out'");
    CHECK(refused("\"kernel\": 3", "\"kernl\": 3") == "net.conv1: no option is called 'kernl'; did you mean 'kernel'?");
    CHECK(refused("\"groups\": 4", "\"groups\": 5") ==
          "net.left: conv2d: expected groups that divide 16 input and 16 output channels, got 5");
    CHECK(refused("[\"bn1\"]", "[\"bn2\"]") == "net.right: no layer before is called 'bn2'; did you mean 'bn1'?");
    CHECK(refused("\"both\"", "\"left\"") == "net.left: another layer has this name");
    CHECK(refused("[\"left\", \"right\"]", "[\"left\", \"pool\"]") == "net.both: no layer before is called 'pool'");
    CHECK(refused("[\"left\", \"right\"]", "[\"left\", \"input\"]") == "no error");
    CHECK(refused("\"activation\": \"relu\"", "\"activation\": \"rely\"") == "net.bn1: activation: unknown 'rely'");
    CHECK(refused("\"out\": \"classes\"", "\"out\": -1") == "net.fc: 'out': expected 1 to 1048576, got -1");
    CHECK(message_of([] { model_from_description("{\"input\": [4], \"layers\": []}", "net"); }) ==
          "net: expected at least one layer");
    CHECK(message_of([] {
              model_from_description(
                  R"({"input": [8, 4], "layers": [{"name": "fc", "op": "linear", "out": "classes"}], "classes": 2})",
                  "net");
          }) == "net: expected an output [1, 2] for its classes, got [1, 8, 2]");
    CHECK(message_of([] { model_from_description(kText, "net", {.width = 2}); }) ==
          "net: expected a described network to say its own widths and dropout, got options for them");
    CHECK(message_of([] { model_from_description(std::string(100000, '['), "net"); }) ==
          "net: description: expected at most 16 nested levels, got more");
}
