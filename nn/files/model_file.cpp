#include "lathe/nn/files/model_file.h"

#include <algorithm>
#include <cmath>

#include "lathe/nn/files/description.h"
#include "lathe/nn/files/graph_json.h"
#include "lathe/nn/graph_module.h"
#include "lathe/nn/files/encode.h"
#include "lathe/nn/files/pytorch.h"

namespace lathe::nn {

namespace {

constexpr const char* kVersion = "2";

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
    for (const auto& [name, parameter] : weights)
        for (const auto& transform : parameter->transforms()) transform->bind(module);
}

// A network that tells classes apart gives a number for each.
void check_output(const Graph& graph, int64_t classes, const std::string& what) {
    const Shape expected{1, classes}, &output = graph[graph.output].shape;
    check(classes == 0 || output == expected, what, ": expected an output ", expected, ", got ", output);
}

// The network's graph, with room for its values. They are set by name afterwards.
Graph read_graph(const TensorFile& file, const ModelOptions& options) {
    Graph graph = graph_from_json(metadata_entry(file.metadata, "lathe.graph"));
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
        check_each(name, concatenated("finite values of ", name_of(dtype)), [&](double value) {
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
    TensorFile file{.tensors = model.state(), .metadata = {}};
    write_description(description_of(model), file.metadata);
    file.metadata.emplace("lathe.version", kVersion);
    file.metadata["lathe.transforms"] = json_of(model);
    const Graph graph = weights_first(trace(model, model.example(1)), model);
    check_output(graph, model.classes(), "save: the network");
    file.metadata["lathe.graph"] = to_json(graph);
    const std::vector<std::string> names = graph.names();
    for (int i = 0; i < graph.size(); ++i)  // numbers in the network's code that are no parameter and no buffer
        if (graph[i].op == "constant") file.tensors[names[static_cast<size_t>(i)]] = graph[i].value;
    const Coding coding = weights == Weights::huffman ? Coding::huffman : Coding::packed;
    if (weights != Weights::dense) encode(model, file, coding);
    return file;
}

std::unique_ptr<Model> from_file(const TensorFile& stored, const std::string& name) {
    std::unique_ptr<Model> model;
    reading_file(name, [&] {
        const TensorFile file = decoded(stored);
        check(file.metadata.contains("lathe.version"),
              "expected a whole model, got a file of weights without 'lathe.version'");
        check(file.metadata.at("lathe.version") == kVersion, "expected a model of version ", kVersion, ", got '",
              file.metadata.at("lathe.version"), "'");
        Description about = read_description(file.metadata);
        model = std::make_unique<Model>(about.architecture, about.options,
                                        std::make_unique<GraphModule>(read_graph(file, about.options)));
        model->class_names = std::move(about.class_names);
        model->scaling = std::move(about.scaling);
        model->metadata = std::move(about.metadata);
        set_weights(*model, file);
        check_effective_shapes(*model);
    });
    return model;
}

void load_weights(Module& module, const TensorFile& file, const std::string& name) {
    if (name.empty()) return set_weights(module, file);
    reading_file(name, [&] { set_weights(module, file); });
}

void save(Model& model, const std::string& path, Weights weights) { write_safetensors(path, to_file(model, weights)); }
std::unique_ptr<Model> load(const std::string& path) { return from_file(read_safetensors(path), path); }
void load_weights(Module& module, const std::string& path) { load_weights(module, read_safetensors(path), path); }

}  // namespace lathe::nn
