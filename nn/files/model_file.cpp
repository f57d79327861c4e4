#include "lathe/nn/files/model_file.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "lathe/nn/init.h"
#include "lathe/nn/files/encode.h"
#include "lathe/nn/models/registry.h"

namespace lathe::nn {

namespace {

using nlohmann::json;
using Metadata = std::map<std::string, std::string>;

constexpr const char* kVersion = "1";

bool is_reserved(const std::string& key) { return key == "format" || key.starts_with("lathe."); }

const std::string& entry(const Metadata& metadata, const std::string& key) {
    const auto found = metadata.find(key);
    check(found != metadata.end(), "expected the metadata entry '", key, "'");
    return found->second;
}

json parse(const Metadata& metadata, const std::string& key) {
    json value = json::parse(entry(metadata, key), nullptr, false);
    check(!value.is_discarded(), key, ": expected JSON");
    return value;
}

// The members of an object, or entries of a list, of the one type that is meant. `what` names the entry in errors.
const json& member(const json& object, const char* name, const std::string& what) {
    check(object.is_object() && object.contains(name), what, ": expected an object with '", name, "'");
    return object[name];
}

int64_t integer(const json& value, const std::string& what) {
    check(value.is_number_integer(), what, ": expected an integer");
    return value.get<int64_t>();
}

double real(const json& value, const std::string& what) {
    check(value.is_number(), what, ": expected a number");
    return value.get<double>();
}

std::string text(const json& value, const std::string& what) {
    check(value.is_string(), what, ": expected a text");
    return value.get<std::string>();
}

template <class T>
std::vector<T> list(const json& value, const std::string& what, T (*read)(const json&, const std::string&)) {
    check(value.is_array(), what, ": expected a list");
    std::vector<T> items;
    for (const json& item : value) items.push_back(read(item, what));
    return items;
}

json to_json(const ModelOptions& o) {
    return {{"classes", o.classes}, {"width", o.width}, {"widths", o.widths},
            {"input", std::vector<int64_t>(o.input.begin(), o.input.end())}, {"dropout", o.dropout}};
}

ModelOptions read_options(const Metadata& metadata) {
    const std::string what = "lathe.options";
    const json options = parse(metadata, what);
    return {.classes = integer(member(options, "classes", what), what),
            .width = real(member(options, "width", what), what),
            .widths = list(member(options, "widths", what), what, integer),
            .input = Shape(list(member(options, "input", what), what, integer)),
            .dropout = real(member(options, "dropout", what), what)};
}

void check_scaling(const InputScaling& scaling, int64_t channels, const std::string& what) {
    const auto fits = [&](const std::vector<float>& values) {
        return (values.empty() || static_cast<int64_t>(values.size()) == channels) &&
               std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
    };
    check(fits(scaling.mean) && fits(scaling.std) && scaling.mean.size() == scaling.std.size() &&
              std::all_of(scaling.std.begin(), scaling.std.end(), [](float value) { return value > 0; }),
          what, ": expected no means and deviations or one of each for the ", channels, " channels, deviations above 0");
}

InputScaling read_scaling(const Metadata& metadata, int64_t channels) {
    const std::string what = "lathe.scaling";
    const json scaling = parse(metadata, what);
    auto read = [&](const char* name) {
        const std::vector<double> values = list(member(scaling, name, what), what, real);
        return std::vector<float>(values.begin(), values.end());
    };
    const InputScaling found{.mean = read("mean"), .std = read("std")};
    check_scaling(found, channels, what);
    return found;
}

std::vector<std::string> read_class_names(const Metadata& metadata, int64_t classes) {
    const std::string what = "lathe.class_names";
    std::vector<std::string> names = list(parse(metadata, what), what, text);
    check(names.empty() || static_cast<int64_t>(names.size()) == classes, what, ": expected none or ", classes, ", got ",
          names.size());
    return names;
}

json transform_kinds(Module& module) {
    json kinds = json::object();
    for (const auto& [name, parameter] : module.named_parameters())
        for (const auto& transform : parameter->transforms()) kinds[name].push_back(transform->kind());
    return kinds;
}

// Gives every parameter the (still empty) transforms that the file lists for it.
void make_transforms(Module& module, const Metadata& metadata) {
    const std::string what = "lathe.transforms";
    json left = metadata.contains(what) ? parse(metadata, what) : json::object();
    check(left.is_object(), what, ": expected an object");
    for (const auto& [name, parameter] : module.named_parameters()) {
        while (!parameter->transforms().empty()) parameter->remove_transform(parameter->transforms().back()->kind());
        if (!left.contains(name)) continue;
        for (const std::string& kind : list(left[name], what, text)) parameter->add_transform(make_transform(kind));
        left.erase(name);
    }
    check(left.empty(), what, ": '", left.empty() ? "" : left.begin().key(), "' is not part of this model");
}

// Runs f; its errors then begin with the file's name and stay on one line, whatever texts of the file they quote.
template <class F>
auto reading(const std::string& file, F f) {
    try {
        return f();
    } catch (const Error& error) {
        std::string message = error.what();
        std::replace_if(message.begin(), message.end(), [](unsigned char c) { return c < ' '; }, '?');
        fail(file, ": ", message);
    }
}

// The model's own tensors of a file: without a trainer's, and without the prefix that PyTorch's DataParallel puts before
// every name.
std::map<std::string, Tensor> model_tensors(const TensorFile& file) {
    const std::string prefix = "module.";
    const bool wrapped = std::all_of(file.tensors.begin(), file.tensors.end(),
                                     [&](const auto& item) { return item.first.starts_with(prefix); });
    std::map<std::string, Tensor> tensors;
    for (const auto& [name, tensor] : file.tensors)
        if (!name.starts_with("optim.")) tensors[wrapped ? name.substr(prefix.size()) : name] = tensor;
    return tensors;
}

void set_weights(Module& module, const TensorFile& stored) {
    const TensorFile file = unpack(stored);
    make_transforms(module, file.metadata);
    const auto sizes = file.metadata.find("lathe.sizes");
    const bool follow = sizes != file.metadata.end() && sizes->second == "follow";
    module.load_state(model_tensors(file), follow ? Module::Sizes::follow : Module::Sizes::fixed);
}

}  // namespace

TensorFile to_file(Model& model) {
    for (const auto& [key, value] : model.metadata)
        check(!is_reserved(key), "save: the metadata name '", key, "' is reserved");
    check_scaling(model.scaling, model.input_shape().back(), "save: the scaling");
    check(model.class_names.empty() || static_cast<int64_t>(model.class_names.size()) == model.classes(),
          "save: expected no class names or ", model.classes(), ", got ", model.class_names.size());
    TensorFile file{.tensors = model.state(), .metadata = model.metadata};
    file.metadata["format"] = "pt";  // what other readers take for "names and order of PyTorch"
    file.metadata["lathe.version"] = kVersion;
    file.metadata["lathe.architecture"] = model.architecture();
    file.metadata["lathe.options"] = to_json(model.options()).dump();
    file.metadata["lathe.class_names"] = json(model.class_names).dump(-1, ' ', false, json::error_handler_t::replace);
    file.metadata["lathe.scaling"] = json{{"mean", model.scaling.mean}, {"std", model.scaling.std}}.dump();
    file.metadata["lathe.transforms"] = transform_kinds(model).dump();
    file.metadata["lathe.sizes"] = model.resized() ? "follow" : "fixed";
    return file;
}

std::unique_ptr<Model> from_file(const TensorFile& file, const std::string& name) {
    return reading(name, [&] {
        const Metadata& metadata = file.metadata;
        check(metadata.contains("lathe.version"), "expected a whole model, got a file of weights without 'lathe.version'");
        check(metadata.at("lathe.version") == kVersion, "expected a model of version ", kVersion, ", got '",
              metadata.at("lathe.version"), "'");
        std::unique_ptr<Model> model;
        {
            init::Skip skip;
            model = make_model(entry(metadata, "lathe.architecture"), read_options(metadata));
        }
        model->class_names = read_class_names(metadata, model->classes());
        model->scaling = read_scaling(metadata, model->input_shape().back());
        for (const auto& [key, value] : metadata)
            if (!is_reserved(key)) model->metadata[key] = value;
        set_weights(*model, file);
        return model;
    });
}

void load_weights(Module& module, const TensorFile& file, const std::string& name) {
    if (name.empty()) return set_weights(module, file);
    reading(name, [&] { set_weights(module, file); });
}

void save(Model& model, const std::string& path, Packing packing) {
    write_safetensors(path, packing == Packing::packed ? pack(to_file(model)) : to_file(model));
}
std::unique_ptr<Model> load(const std::string& path) { return from_file(read_safetensors(path), path); }
void load_weights(Module& module, const std::string& path) { load_weights(module, read_safetensors(path), path); }

}  // namespace lathe::nn
