#include "lathe/nn/files/model_file.h"

#include <doctest/doctest.h>

#include "lathe/core/ops/activation.h"
#include "lathe/core/ops/add.h"
#include "lathe/core/ops/concat.h"
#include "lathe/core/ops/pool2d.h"
#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::nn;
using namespace lathe::testing;

namespace {

bool same_state(Module& a, Module& b) {
    const auto left = a.state(), right = b.state();
    if (left.size() != right.size()) return false;
    for (const auto& [name, tensor] : left)
        if (!right.contains(name) || !same(tensor, right.at(name))) return false;
    return true;
}

Parameter& parameter(Module& module, const std::string& wanted) {
    for (const auto& [name, found] : module.named_parameters())
        if (name == wanted) return *found;
    fail("no parameter ", wanted);
}

}  // namespace

TEST_CASE("a saved network comes back whole") {
    TemporaryFolder folder;
    const std::string path = folder / "model.safetensors";
    for (const std::string& name : model_names()) {
        CAPTURE(name);
        const auto model = make_model(name, {.classes = name == "autoencoder" ? 0 : 3, .width = 0.3});
        for (const auto& [buffer_name, buffer] : model->named_buffers())
            buffer->copy_(random_tensor(buffer->shape(), 9));
        save(*model, path);
        const auto loaded = load(path);
        CHECK(loaded->architecture() == name);
        CHECK(loaded->input_shape() == model->input_shape());
        CHECK(loaded->classes() == model->classes());
        CHECK(same_state(*loaded, *model));
    }
}

TEST_CASE("class names, scaling, masks and further texts are kept") {
    TemporaryFolder folder;
    const std::string path = folder / "model.safetensors";
    const auto model = make_model("lenet5", {.classes = 2});
    model->class_names = {"ant \"a\"", "bée"};
    model->scaling = {.mean = {0.1307f}, .std = {0.3081f}};
    model->metadata["epoch"] = "3";
    const Tensor mask = random_mask({16, 5, 5, 6});
    parameter(*model, "conv2.weight").add_transform(std::make_unique<Mask>(mask));
    save(*model, path);

    const TensorFile file = read_safetensors(path);
    CHECK(file.tensors.at("conv2.weight").shape() == Shape{16, 6, 5, 5});
    CHECK(file.tensors.at("conv2.weight.mask").shape() == Shape{16, 6, 5, 5});
    CHECK(file.metadata.at("format") == "pt");

    const auto loaded = load(path);
    CHECK(loaded->class_names == model->class_names);
    CHECK(loaded->scaling.mean == model->scaling.mean);
    CHECK(loaded->scaling.std == model->scaling.std);
    CHECK(loaded->metadata == model->metadata);
    Parameter& weight = parameter(*loaded, "conv2.weight");
    REQUIRE(weight.find_transform<Mask>());
    CHECK(same(weight.find_transform<Mask>()->mask(), mask));
    CHECK(same(weight.effective().value(), parameter(*model, "conv2.weight").effective().value()));
    CHECK(same_state(*loaded, *model));

    model->metadata["lathe.version"] = "7";
    CHECK(message_of([&] { save(*model, path); }) == "save: the metadata name 'lathe.version' is reserved");
    model->metadata.clear();
    model->class_names.pop_back();
    CHECK(message_of([&] { save(*model, path); }) == "save: expected no class names or 2, got 1");
    model->scaling.std.clear();
    CHECK(message_of([&] {
              save(*model, path);
          }).starts_with("save: the scaling: expected no means and deviations or one of each"));
    CHECK(load(path)->class_names.size() == 2);
}

TEST_CASE("the pixels of an image as features take the scaling of its channels in turn") {
    Model model("flat", {.classes = 2, .input = {12}}, std::make_unique<Linear>(LinearOptions{.in = 12, .out = 2}));
    model.scaling = {.mean = {0.1f, 0.2f, 0.3f}, .std = {1, 2, 3}};
    CHECK(from_file(to_file(model), "flat")->scaling.std == model.scaling.std);
    model.scaling = {.mean = {0.5f}, .std = {2}};
    CHECK(from_file(to_file(model), "flat")->scaling.mean == model.scaling.mean);
    model.scaling = {.mean = {0, 0, 0, 0, 0}, .std = {1, 1, 1, 1, 1}};
    CHECK(message_of([&] { to_file(model); }) ==
          "save: the scaling: expected no means and deviations or one of each for every channel of inputs [12], "
          "deviations above 0");
}

TEST_CASE("a network that gives something else than a number for each class is not saved") {
    Model model("rows", {.classes = 2, .input = {3, 4}}, std::make_unique<Linear>(LinearOptions{.in = 4, .out = 2}));
    CHECK(message_of([&] { to_file(model); }) == "save: the network: expected an output [1, 2], got [1, 3, 2]");
}

TEST_CASE("a pruned network keeps its sizes, and its graph follows") {
    TemporaryFolder folder;
    const std::string path = folder / "model.safetensors";
    const auto model = make_model("lenet5");
    parameter(*model, "conv1.weight").select_(0, {0, 2, 5});
    parameter(*model, "conv1.bias").select_(0, {0, 2, 5});
    parameter(*model, "conv2.weight").select_(3, {0, 2, 5});
    save(*model, path);
    const auto loaded = load(path);
    const Tensor x = random_tensor({2, 28, 28, 1});
    CHECK(same((*loaded)(x).value(), (*model)(x).value()));

    TensorFile file = read_safetensors(path);
    file.tensors["conv1.bias"] = Tensor::zeros({6});
    write_safetensors(path, file);
    CHECK(message_of([&] { load(path); }) == path + ": conv1.bias: expected f32 [3], got f32 [6]");
}

// A network of a user's own: two branches, one of them grouped, joined, with a number in its code.
class TwoBranches : public Module {
public:
    TwoBranches() {
        child("stem", stem_);
        child("left", left_);
        child("right", right_);
        child("bn", bn_);
        child("fc", fc_);
    }

private:
    Variable forward(const Variable& x) override {
        const Variable y = ops::relu(stem_(x));
        const Variable both = ops::concat({left_(y), right_(y)}, -1);
        const Tensor offset = Tensor::of<float>({3}, {0.5f, -1, 2});
        return ops::add(fc_(ops::global_avg_pool(bn_(both))), offset);
    }

    Conv2d stem_{{.in = 3, .out = 8, .kernel = 3, .padding = 1}};
    Conv2d left_{{.in = 8, .out = 8, .kernel = 3, .padding = 1, .groups = 4}};
    Conv2d right_{{.in = 8, .out = 4}};
    BatchNorm bn_{{.channels = 12, .activation = Activation::relu}};
    Linear fc_{{.in = 12, .out = 3}};
};

TEST_CASE("a network of a user's own is saved with its graph and needs no source to load") {
    TemporaryFolder folder;
    const std::string path = folder / "model.safetensors";
    Model model("two-branches", {.classes = 3, .input = {8, 8, 3}}, std::make_unique<TwoBranches>());
    save(model, path);
    const auto loaded = load(path);
    CHECK(loaded->architecture() == "two-branches");
    CHECK(loaded->classes() == 3);
    const Tensor x = random_tensor({5, 8, 8, 3});
    model.eval();
    loaded->eval();
    const NoGrad no_grad;
    CHECK(same((*loaded)(x).value(), model(x).value()));
    CHECK(loaded->named_parameters().size() == model.named_parameters().size());
    for (size_t i = 0; i < model.named_parameters().size(); ++i)
        CHECK(loaded->named_parameters()[i].first == model.named_parameters()[i].first);

    save(*loaded, folder / "again.safetensors");
    CHECK(same_state(*load(folder / "again.safetensors"), *loaded));
}

TEST_CASE("weights of a PyTorch state_dict") {
    TemporaryFolder folder;
    const std::string path = folder / "weights.safetensors";
    const auto source = make_model("resnet20", {.width = 0.25}), target = make_model("resnet20", {.width = 0.25});
    TensorFile file;
    for (const auto& [name, tensor] : source->state()) file.tensors["module." + name] = tensor;
    file.tensors["module.bn1.num_batches_tracked"] = Tensor::of<int64_t>({}, {17});
    write_safetensors(path, file);
    parameter(*target, "conv1.weight").add_transform(std::make_unique<Mask>(random_mask({4, 3, 3, 3})));
    load_weights(*target, path);
    CHECK(same_state(*source, *target));
    CHECK(parameter(*target, "conv1.weight").transforms().empty());

    CHECK(message_of([&] { load(path); }) ==
          path + ": expected a whole model, got a file of weights without 'lathe.version'");

    const Tensor before = parameter(*target, "conv1.weight").value().clone();
    auto failure = [&](const std::string& name, Tensor tensor) {
        TensorFile changed = file;
        if (tensor) changed.tensors[name] = tensor;
        else changed.tensors.erase(name);
        for (auto& [other, value] : changed.tensors)
            if (is_float(value.dtype())) value = Tensor::full(value.shape(), 1);
        write_safetensors(path, changed);
        return message_of([&] { load_weights(*target, path); });
    };
    CHECK(failure("module.fc.bias", {}) == path + ": load: 'fc.bias' is missing");
    CHECK(failure("module.fc.more", Tensor::zeros({1})) == path + ": load: 'fc.more' is not part of this model");
    CHECK(failure("module.fc.bias", Tensor::zeros({11})) ==
          path + ": load: expected 'fc.bias' of type f32 and shape [10], got f32 [11]");
    CHECK(failure("module.fc.bias", Tensor::zeros({10}, DType::i32)) ==
          path + ": load: expected 'fc.bias' of type f32 and shape [10], got i32 [10]");
    CHECK(failure("module.conv1.weight", Tensor::zeros({10})) ==
          path + ": load: expected 'conv1.weight' with 4 dimensions, got shape [10]");
    CHECK(same(parameter(*target, "conv1.weight").value(), before));  // a file that does not fit changes nothing
}

TEST_CASE("files with wrong claims are refused in one line") {
    TemporaryFolder folder;
    const std::string path = folder / "model.safetensors";
    const auto model = make_model("lenet5");
    const TensorFile file = to_file(*model);
    auto failure = [&](const std::string& key, const std::string& value) {
        TensorFile changed = file;
        changed.metadata[key] = value;
        return message_of([&] { from_file(changed, "m"); });
    };
    CHECK(failure("lathe.version", "1") == "m: expected a model of version 2, got '1'");
    CHECK(failure("lathe.options", "{") == "m: lathe.options: expected JSON in UTF-8");
    CHECK(failure("lathe.options", "[]") == "m: lathe.options: expected an object with 'classes'");
    const std::string rest = R"(,"width":1.0,"widths":[],"input":[28,28,1],"dropout":0.0})";
    CHECK(failure("lathe.options", R"({"classes":10)" + rest) == "no error");
    CHECK(failure("lathe.options", R"({"classes":1e30)" + rest) == "m: lathe.options: expected an integer");
    CHECK(failure("lathe.options", R"({"classes":11)" + rest) ==
          "m: lathe.graph: expected an output [1, 11], got [1, 10]");
    CHECK(failure("lathe.options", R"({"classes":10,"width":1,"widths":[],"input":[27,28,1],"dropout":0})") ==
          "m: lathe.graph: expected one input [1, 27, 28, 1], got [1, 28, 28, 1]");
    CHECK(failure("lathe.options", R"({"classes":10,"width":1,"widths":[],"input":[1,2,3,4,5,6,7],"dropout":0})")
              .starts_with("m: shape: expected at most"));
    CHECK(failure("lathe.graph", "{") == "m: graph: expected JSON in UTF-8");
    CHECK(failure("lathe.graph", "{}") == "m: graph: expected an object with 'nodes'");
    const auto changed = [&](const std::string& from, const std::string& to) {
        std::string graph = file.metadata.at("lathe.graph");
        graph.replace(graph.find(from), from.size(), to);
        return failure("lathe.graph", graph);
    };
    CHECK(changed(R"("op":"relu")", R"("op":"rellu")") ==
          "m: graph: node 'relu1': no op is called 'rellu'; did you mean 'relu'?");
    CHECK(changed(R"("inputs":["conv1"])", R"("inputs":["conv3"])") ==
          "m: graph: node 'relu1': no node before is called 'conv3'");
    CHECK(changed(R"("inputs":["conv1"])", R"("inputs":["relu1"])") ==
          "m: graph: node 'relu1': no node before is called 'relu1'");
    CHECK(changed(R"("inputs":["conv1"])", R"("inputs":["conv1","conv1"])") ==
          "m: graph: node 'relu1': relu: expected 1 inputs, got 2");
    CHECK(changed(R"("stride":[1,1])", R"("stride":[0,1])") ==
          "m: graph: node 'conv1': conv2d: expected stride and dilation of at least 1");
    CHECK(changed(R"("stride":[1,1])", R"("strude":[1,1])") ==
          "m: graph: node 'conv1': conv2d: no attribute is called 'strude'; did you mean 'stride'?");
    CHECK(changed(R"("kernel_size":[2,2])", R"("kernel_size":[99,2])")
              .starts_with("m: graph: node 'pool1': max_pool2d: "));
    CHECK(changed(R"("order":"image","pixels":25)", R"("order":"image","pixels":7)") ==
          "m: fc1.weight: expected pixels that divide 400 columns, got 7");
    CHECK(failure("lathe.class_names", R"(["a"])") == "m: lathe.class_names: expected none or 10, got 1");
    CHECK(failure("lathe.class_names", "[1]") == "m: lathe.class_names: expected a text");
    CHECK(failure("lathe.scaling", R"({"mean":[0],"std":[0]})").starts_with("m: lathe.scaling: expected no means"));
    CHECK(failure("lathe.scaling", R"({"mean":[0,0],"std":[1,1]})").starts_with("m: lathe.scaling: expected no means"));
    CHECK(failure("lathe.transforms", R"({"conv1.weight":[{"kind":"maks"}]})") ==
          "m: weight transform: unknown kind 'maks'");
    CHECK(failure("lathe.transforms", R"({"conv9.weight":[{"kind":"mask"}]})") ==
          "m: lathe.transforms: 'conv9.weight' is not part of this model");
    CHECK(failure("lathe.transforms", R"({"conv1.weight":[{"kind":"mask"}]})") ==
          "m: load: 'conv1.weight.mask' is missing");
    CHECK(failure("lathe.transforms", R"({"conv1.weight":["mask"]})") ==
          "m: lathe.transforms: expected an object with 'kind'");
    CHECK(failure("lathe.transforms", R"({"conv1.weight":[{"kind":"mask","bits":4}]})") ==
          "m: weight transform: expected the settings {} of kind 'mask', got {\"bits\":4}");
    CHECK(failure("lathe.transforms", R"({"conv1.weight":[{"kind":"mask"},{"kind":"mask"}]})") ==
          "m: parameter: expected one 'mask' transform, got a second");
}

TEST_CASE("masks of a file are of 0 and 1, and as large as their weights") {
    const auto model = make_model("lenet5", {.width = 0.5});
    Parameter& weight = parameter(*model, "conv1.weight");
    set_mask(weight, random_mask(weight.shape()));
    const TensorFile file = to_file(*model);
    const auto failure = [&](Tensor mask) {
        TensorFile changed = file;
        changed.tensors["conv1.weight.mask"] = mask;
        return message_of([&] { from_file(changed, "m"); });
    };
    const Shape shape = file.tensors.at("conv1.weight.mask").shape();
    CHECK(failure(Tensor::full(shape, 1, DType::u8)) == "no error");
    CHECK(failure(Tensor::full(shape, 2, DType::u8)).starts_with("m: mask: expected 0 and 1 only, got "));
    CHECK(failure(Tensor::full(shape, 1)) == "m: mask: expected elements of type u8, got f32");
    for (const Shape& other : {Shape{}, Shape{1}, Shape{1, 1, 5, 5}, Shape{shape[0], 1, 5, 6}, Shape{0, 1, 5, 5}})
        CHECK(failure(Tensor::full(other, 1, DType::u8)).find("conv1.weight") != std::string::npos);
}

TEST_CASE("another number of classes: all but the last layer is kept") {
    TemporaryFolder folder;
    const std::string path = folder / "model.safetensors";
    const auto model = make_model("mobilenetv2", {.classes = 5, .width = 0.1, .input = {32, 32, 3}});
    model->class_names = {"a", "b", "c", "d", "e"};
    const auto before = model->state();
    model->replace_classifier(2);
    CHECK(model->classes() == 2);
    CHECK(model->class_names.empty());
    for (const auto& [name, tensor] : model->state())
        if (name.starts_with("classifier.1")) CHECK(tensor.shape()[0] == 2);
        else CHECK(same(tensor, before.at(name)));
    CHECK((*model)(random_tensor({2, 32, 32, 3})).shape() == Shape{2, 2});
    save(*model, path);
    CHECK(same_state(*load(path), *model));
    CHECK(message_of([] { make_model("autoencoder")->replace_classifier(3); }) ==
          "autoencoder: expected a last linear layer with an output for each class, to be replaced");
}

TEST_CASE("a trainer's tensors in the same file are passed over") {
    const auto model = make_model("lenet5");
    TensorFile file = to_file(*model);
    file.tensors["optim.conv1.weight.momentum"] = Tensor::zeros({3});
    CHECK(same_state(*from_file(file, "checkpoint"), *model));
}

TEST_CASE("damaged metadata never do worse than an error") {
    const auto model = make_model("lenet5", {.classes = 2, .widths = {2, 2, 3, 3}, .input = {12, 12, 1}});
    model->class_names = {"ant", "bee"};
    model->scaling = {.mean = {0.5f}, .std = {0.25f}};
    parameter(*model, "conv1.weight").add_transform(std::make_unique<Mask>(random_mask({2, 5, 5, 1})));
    const TensorFile file = to_file(*model);
    const std::string alphabet = "0123456789eE+-.\"[]{},:ntrue lf\\\x01\xff";
    Random random(1);
    int accepted = 0;
    for (int trial = 0; trial < 3000; ++trial) {
        TensorFile damaged = file;
        auto entry = damaged.metadata.begin();
        std::advance(entry, random.below(static_cast<int64_t>(damaged.metadata.size())));
        std::string& text = entry->second;
        for (int64_t changes = 1 + random.below(3); changes > 0; --changes) {
            const size_t at = static_cast<size_t>(random.below(static_cast<int64_t>(text.size()) + 1));
            const std::string put(1,
                                  alphabet[static_cast<size_t>(random.below(static_cast<int64_t>(alphabet.size())))]);
            const auto taken = static_cast<size_t>(random.below(3));
            text.replace(at, taken, random.below(2) ? put : "");
        }
        try {
            from_file(damaged, "damaged");
            ++accepted;
        } catch (const Error& error) {
            CHECK(std::string(error.what()).find('\n') == std::string::npos);
        }
    }
    CHECK(accepted > 0);
    CHECK(accepted < 3000);
}
