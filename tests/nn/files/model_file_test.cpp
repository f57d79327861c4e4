#include "lathe/nn/files/model_file.h"

#include <doctest/doctest.h>

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
        for (const auto& [buffer_name, buffer] : model->named_buffers()) buffer->copy_(random_tensor(buffer->shape(), 9));
        save(*model, path);
        const auto loaded = load(path);
        CHECK(loaded->architecture() == name);
        CHECK(loaded->options().width == 0.3);
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
    CHECK(message_of([&] { save(*model, path); }).starts_with("save: the scaling: expected no means and deviations or one of each"));
    CHECK(load(path)->class_names.size() == 2);
}

TEST_CASE("a pruned network keeps its sizes; others must have the architecture's") {
    TemporaryFolder folder;
    const std::string path = folder / "model.safetensors";
    const auto model = make_model("lenet5");
    parameter(*model, "conv1.weight").select_(0, {0, 2, 5});
    parameter(*model, "conv1.bias").select_(0, {0, 2, 5});
    parameter(*model, "conv2.weight").select_(3, {0, 2, 5});
    CHECK(model->resized());
    save(*model, path);
    const auto loaded = load(path);
    CHECK(loaded->resized());
    const Tensor x = random_tensor({2, 28, 28, 1});
    CHECK(same((*loaded)(x).value(), (*model)(x).value()));

    TensorFile file = read_safetensors(path);
    file.metadata["lathe.sizes"] = "fixed";
    write_safetensors(path, file);
    CHECK(message_of([&] { load(path); }) ==
          path + ": load: expected 'conv1.weight' of type f32 and shape [6, 5, 5, 1], got f32 [3, 5, 5, 1]");
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

    CHECK(message_of([&] { load(path); }) == path + ": expected a whole model, got a file of weights without 'lathe.version'");

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
    CHECK(failure("lathe.version", "2") == "m: expected a model of version 1, got '2'");
    CHECK(failure("lathe.architecture", "lenet") == "m: unknown model 'lenet'; did you mean 'lenet5'?");
    CHECK(failure("lathe.options", "{") == "m: lathe.options: expected JSON");
    CHECK(failure("lathe.options", "[]") == "m: lathe.options: expected an object with 'classes'");
    const std::string rest = R"(,"width":1.0,"widths":[],"input":[28,28,1],"dropout":0.0})";
    CHECK(failure("lathe.options", R"({"classes":10)" + rest) == "no error");
    CHECK(failure("lathe.options", R"({"classes":1e30)" + rest) == "m: lathe.options: expected an integer");
    CHECK(failure("lathe.options", R"({"classes":99999999)" + rest) == "m: lenet5: expected 1 to 65536 classes, got 99999999");
    CHECK(failure("lathe.options", R"({"classes":11)" + rest) ==
          "m: load: expected 'fc3.weight' of type f32 and shape [11, 84], got f32 [10, 84]");
    CHECK(failure("lathe.options", R"({"classes":10,"width":1,"widths":[65536,65536,65536,65536],"input":[9999,9999,1],"dropout":0})")
              .starts_with("m: "));
    CHECK(failure("lathe.options", R"({"classes":10,"width":1,"widths":[],"input":[1,2,3,4,5,6,7],"dropout":0})")
              .starts_with("m: shape: expected at most"));
    CHECK(failure("lathe.class_names", R"(["a"])") == "m: lathe.class_names: expected none or 10, got 1");
    CHECK(failure("lathe.class_names", "[1]") == "m: lathe.class_names: expected a text");
    CHECK(failure("lathe.scaling", R"({"mean":[0],"std":[0]})").starts_with("m: lathe.scaling: expected no means"));
    CHECK(failure("lathe.scaling", R"({"mean":[0,0],"std":[1,1]})").starts_with("m: lathe.scaling: expected no means"));
    CHECK(failure("lathe.transforms", R"({"conv1.weight":["maks"]})") == "m: weight transform: unknown kind 'maks'");
    CHECK(failure("lathe.transforms", R"({"conv9.weight":["mask"]})") == "m: lathe.transforms: 'conv9.weight' is not part of this model");
    CHECK(failure("lathe.transforms", R"({"conv1.weight":["mask"]})") == "m: load: 'conv1.weight.mask' is missing");
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
    CHECK(!model->resized());
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
            const std::string put(1, alphabet[static_cast<size_t>(random.below(static_cast<int64_t>(alphabet.size())))]);
            text.replace(at, static_cast<size_t>(random.below(3)), random.below(2) ? put : "");
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
