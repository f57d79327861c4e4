#include "lathe/nn/files/model_file.h"

#include <algorithm>
#include <cmath>

#include "lathe/nn/files/graph_json.h"
#include "lathe/nn/files/json.inc"
#include "lathe/nn/graph_module.h"
#include "lathe/nn/files/encode.h"
#include "lathe/nn/files/pytorch.h"

namespace lathe::nn {

namespace {

using json_reader::integer;
using json_reader::json;
using json_reader::list;
using json_reader::member;
using json_reader::real;
using json_reader::text;
using Metadata = std::map<std::string, std::string>;

constexpr const char* kVersion = "2";

bool is_reserved(const std::string& key) { return key == "format" || key.starts_with("lathe."); }

const std::string& entry(const Metadata& metadata, const std::string& key) {
    const auto found = metadata.find(key);
    check(found != metadata.end(), "expected the metadata entry '", key, "'");
    return found->second;
}

json parse(const Metadata& metadata, const std::string& key) { return json_reader::parse(entry(metadata, key), key); }

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

void check_scaling(const InputScaling& scaling, const Shape& input, const std::string& what) {
    const auto fits = [&](const std::vector<float>& values) {
        const auto count = static_cast<int64_t>(values.size());
        return (count == 0 || count == input.back() || (input.rank() == 1 && input[0] % count == 0)) &&
               std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
    };
    check(fits(scaling.mean) && fits(scaling.std) && scaling.mean.size() == scaling.std.size() &&
              std::all_of(scaling.std.begin(), scaling.std.end(), [](float value) { return value > 0; }),
          what, ": expected no means and deviations or one of each for every channel of inputs ", input,
          ", deviations above 0");
}

InputScaling read_scaling(const Metadata& metadata, const Shape& input) {
    const std::string what = "lathe.scaling";
    const json scaling = parse(metadata, what);
    auto read = [&](const char* name) {
        const std::vector<double> values = list(member(scaling, name, what), what, real);
        return std::vector<float>(values.begin(), values.end());
    };
    const InputScaling found{.mean = read("mean"), .std = read("std")};
    check_scaling(found, input, what);
    return found;
}

std::vector<std::string> read_class_names(const Metadata& metadata, int64_t classes) {
    const std::string what = "lathe.class_names";
    std::vector<std::string> names = list(parse(metadata, what), what, text);
    check(names.empty() || static_cast<int64_t>(names.size()) == classes, what, ": expected none or ", classes,
          ", got ", names.size());
    return names;
}

using Listed = std::map<std::string, std::vector<ListedTransform>>;

// Gives the parameter the transforms that the file lists for it, and so on for what is theirs; takes them out of
// `left`.
void make_transforms(const std::string& name, Parameter& parameter, Listed& left) {
    while (!parameter.transforms().empty()) parameter.remove_transform(parameter.transforms().back()->kind());
    for (const auto& [kind, config] : left[name])
        parameter.add_transform(make_transform(kind, config, parameter.value()));
    left.erase(name);
    for (const auto& transform : parameter.transforms())
        for (const OwnParameter& own : transform->parameters())
            make_transforms(name + "." + own.suffix, *own.parameter, left);
}

void make_transforms(Module& module, Listed left) {
    std::vector<std::pair<std::string, Parameter*>> weights = module.named_parameters();
    std::erase_if(weights, [](const auto& item) { return item.second->owned(); });
    for (const auto& [name, parameter] : weights) make_transforms(name, *parameter, left);
    check(left.empty(), "lathe.transforms: '", left.empty() ? "" : left.begin()->first, "' is not part of this model");
}

// A network that tells classes apart gives a number for each.
void check_output(const Graph& graph, int64_t classes, const std::string& what) {
    const Shape expected{1, classes}, &output = graph[graph.output].shape;
    check(classes == 0 || output == expected, what, ": expected an output ", expected, ", got ", output);
}

// The network's graph, with room for its values. They are set by name afterwards.
Graph read_graph(const TensorFile& file, const ModelOptions& options) {
    Graph graph = graph_from_json(entry(file.metadata, "lathe.graph"));
    Shape input{1};
    for (int64_t extent : options.input) input.push_back(extent);
    check(graph.inputs.size() == 1 && graph[graph.input()].shape == input, "lathe.graph: expected one input ", input,
          ", got ", graph[graph.inputs[0]].shape);
    check_output(graph, options.classes, "lathe.graph");
    const Listed transforms = listed_transforms(file);
    const std::vector<std::string> names = graph.names();
    for (int i = 0; i < graph.size(); ++i) {
        GraphNode& node = graph[i];
        if (node.is_op() || node.op == "input") continue;
        const std::string& name = names[static_cast<size_t>(i)];
        const auto stored = file.tensors.find(name);
        check(stored != file.tensors.end(), "load: '", name, "' is missing");
        const PathScope scope(name);
        node.value = node.op == "parameter" ? order_of(node).from_file(stored->second) : stored->second;
        // A transform may give the network another shape than the weight has.
        check(node.value.dtype() == node.dtype && (node.value.shape() == node.shape || transforms.contains(name)),
              "expected ", name_of(node.dtype), " ", node.shape, ", got ", name_of(node.value.dtype()), " ",
              node.value.shape());
    }
    return graph;
}

// What the network computes with has the shapes that its graph was checked with.
void check_effective_shapes(Model& model) {
    const auto& net = dynamic_cast<const GraphModule&>(model.net());
    std::map<std::string, Shape> expected;
    for (const GraphNode& node : net.graph().nodes)
        if (node.op == "parameter") expected[node.path] = node.shape;
    for (const auto& [name, parameter] : model.named_parameters())
        if (!parameter->transforms().empty())
            check(parameter->effective().shape() == expected.at(name), "'", name, "': expected transforms that give ",
                  expected.at(name), ", got ", parameter->effective().shape());
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

// What follows from a weight that is no number is none. Buffers may be infinite: constants that mask something out are.
void check_finite(Module& module, const TensorFile& file) {
    const auto check_each = [&](const std::string& name, const std::string& expected, auto fits) {
        const auto found = file.tensors.find(name);
        if (found == file.tensors.end() || !is_float(found->second.dtype())) return;
        for (int64_t i = 0; i < found->second.numel(); ++i)
            check(fits(found->second.at(i)), "load: '", name, "': expected ", expected, ", got ", found->second.at(i));
    };
    for (const auto& [name, parameter] : module.named_parameters()) {
        const DType dtype = parameter->value().dtype();
        check_each(name, detail::concat("finite values of ", name_of(dtype)), [&](double value) {
            return std::isfinite(dtype == DType::f32 ? static_cast<double>(static_cast<float>(value)) : value);
        });
    }
    for (const auto& [name, buffer] : module.named_buffers())
        check_each(name, "numbers", [](double value) { return !std::isnan(value); });
}

void set_weights(Module& module, const TensorFile& stored) {
    TensorFile file = decoded(stored);
    std::erase_if(file.tensors, [](const auto& item) { return item.first.starts_with("optim."); });  // a trainer's
    file = from_pytorch(std::move(file), module);
    make_transforms(module, listed_transforms(file));
    check_finite(module, file);
    module.load_state(file.tensors);
}

}  // namespace

TensorFile to_file(Model& model, Weights weights) {
    for (const auto& [key, value] : model.metadata)
        check(!is_reserved(key), "save: the metadata name '", key, "' is reserved");
    check_scaling(model.scaling, model.input_shape(), "save: the scaling");
    check(model.class_names.empty() || static_cast<int64_t>(model.class_names.size()) == model.classes(),
          "save: expected no class names or ", model.classes(), ", got ", model.class_names.size());
    TensorFile file{.tensors = model.state(), .metadata = model.metadata};
    file.metadata["format"] = "pt";  // what other readers take for "names and order of PyTorch"
    file.metadata["lathe.version"] = kVersion;
    file.metadata["lathe.architecture"] = model.architecture();
    file.metadata["lathe.options"] = to_json(model.options()).dump();
    file.metadata["lathe.class_names"] = json(model.class_names).dump(-1, ' ', false, json::error_handler_t::replace);
    file.metadata["lathe.scaling"] = json{{"mean", model.scaling.mean}, {"std", model.scaling.std}}.dump();
    file.metadata["lathe.transforms"] = json_of(model);
    const Graph graph = weights_first(trace(model, model.example(1)), model);
    check_output(graph, model.classes(), "save: the network");
    file.metadata["lathe.graph"] = to_json(graph);
    const std::vector<std::string> names = graph.names();
    for (int i = 0; i < graph.size(); ++i)  // numbers in the network's code that are no parameter and no buffer
        if (graph[i].op == "constant") file.tensors[names[static_cast<size_t>(i)]] = graph[i].value;
    if (weights == Weights::encoded) encode(model, file);
    return file;
}

std::unique_ptr<Model> from_file(const TensorFile& stored, const std::string& name) {
    return reading(name, [&] {
        const TensorFile file = decoded(stored);
        const Metadata& metadata = file.metadata;
        check(metadata.contains("lathe.version"),
              "expected a whole model, got a file of weights without 'lathe.version'");
        check(metadata.at("lathe.version") == kVersion, "expected a model of version ", kVersion, ", got '",
              metadata.at("lathe.version"), "'");
        const ModelOptions options = read_options(metadata);
        auto model = std::make_unique<Model>(entry(metadata, "lathe.architecture"), options,
                                             std::make_unique<GraphModule>(read_graph(file, options)));
        model->class_names = read_class_names(metadata, model->classes());
        model->scaling = read_scaling(metadata, model->input_shape());
        for (const auto& [key, value] : metadata)
            if (!is_reserved(key)) model->metadata[key] = value;
        set_weights(*model, file);
        check_effective_shapes(*model);
        return model;
    });
}

void load_weights(Module& module, const TensorFile& file, const std::string& name) {
    if (name.empty()) return set_weights(module, file);
    reading(name, [&] { set_weights(module, file); });
}

void save(Model& model, const std::string& path, Weights weights) { write_safetensors(path, to_file(model, weights)); }
std::unique_ptr<Model> load(const std::string& path) { return from_file(read_safetensors(path), path); }
void load_weights(Module& module, const std::string& path) { load_weights(module, read_safetensors(path), path); }

}  // namespace lathe::nn
