#include "lathe/tools/model_options.h"

#include <algorithm>
#include <filesystem>

#include "lathe/core/error.h"
#include "lathe/core/random.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tools/checks.h"

namespace lathe::tools {

std::unique_ptr<nn::Model> sample_of(const std::string& name, const std::string& arch) {
    const KeepGlobalRandom keep_random;  // for the network's own first weights
    return nn::make_model(name, {.classes = name.ends_with(".json") ? 2 : 0, .arch = arch});
}

ImageForm form_of(const DataOptions& data, const nn::Model* saved, const std::string& name, const std::string& arch,
                  const std::string& input) {
    if (saved) return data.form(*saved, Origin::saved, input);
    const bool stated = !arch.empty() || name.ends_with(".json");
    return data.form(*sample_of(name, arch), stated ? Origin::stated : Origin::named, input);
}

std::string model_help() {
    std::string names;
    for (const std::string& name : nn::model_names()) names += name + ", ";
    return names + "or a network described in a .json file";
}

void add_arch(CLI::App& command, std::string& arch) {
    command.add_option("--arch", arch,
                       "Which network of a design space such as mcunetv2: JSON as `lathe nas show` and `lathe nas "
                       "search` print it; none: the largest");
}

const char* description_help() {
    return R"(A network of your own may stand wherever the name of one may, as a .json file:
  {"input": [32, 32, 3],
   "layers": [
     {"name": "conv1", "op": "conv2d", "out": 16, "kernel": 3, "padding": 1},
     {"name": "bn1", "op": "batch_norm", "activation": "relu"},
     {"name": "left", "op": "conv2d", "out": 16, "kernel": 3, "padding": 1, "groups": 4},
     {"name": "right", "op": "conv2d", "inputs": ["bn1"], "out": 16},
     {"name": "both", "op": "concat", "inputs": ["left", "right"]},
     {"name": "pool", "op": "global_avg_pool"},
     {"name": "fc", "op": "linear", "out": "classes"}]}
A layer reads the one before unless "inputs" names others. Layers with weights: conv2d (out, kernel, stride, padding or
"same", dilation, groups, bias), linear (out, bias), batch_norm (activation, eps, momentum), layer_norm, embedding
(rows, features); blocks: basic_block, inverted_residual, squeeze_excite; pools: max_pool2d, avg_pool2d (kernel,
stride, padding); and every op that `lathe info` lists, with its attributes.)";
}

void ModelOptions::add_to(CLI::App& command) {
    command.footer(description_help());
    command
        .add_option("--model", model,
                    "A saved .safetensors file, the name of a network (lathe info lists them), or a network described "
                    "in a .json file")
        ->required();
    command.add_option("--weights", weights,
                       "Weights for the named network: a .safetensors file with PyTorch's names and order");
    command.add_option("--width", width, "Multiplies every channel count of the named network")
        ->check(PositiveNumber)
        ->capture_default_str();
    command.add_option("--widths", widths, "Channel counts of the named network one by one: 45,90,…")
        ->delimiter(',')
        ->expected(1, 1000);
    command.add_option("--classes", classes, "Classes of the named network; 0: the data's, or its usual number")
        ->check(NonNegativeNumber)
        ->capture_default_str();
    add_arch(command, arch);
}

bool ModelOptions::is_file() const {
    const auto names = nn::model_names();
    return std::find(names.begin(), names.end(), model) == names.end() && !model.ends_with(".json");
}

Saved ModelOptions::open() const {
    const std::string hint = nearest_name(model, nn::model_names());
    check(std::filesystem::exists(model), "--model: '", model, "' is neither a file nor the name of a network",
          hint.empty() ? "" : "; ", hint);
    check(width == 1 && widths.empty() && !classes && arch.empty(),
          "--width, --widths, --classes and --arch are for a network by its name; ", model,
          " holds a network that has them already");
    Saved saved = open_saved(model);
    check(!saved.program || weights.empty(), "--weights: ", model, " is an integer program, which has its weights");
    if (!weights.empty()) nn::load_weights(*saved.model, weights);
    return saved;
}

std::unique_ptr<nn::Model> ModelOptions::make(nn::ModelOptions usual) const {
    if (is_file()) {
        Saved saved = open();
        check(!saved.program, model, ": expected a network, got an integer program");
        return std::move(saved.model);
    }
    if (classes) usual.classes = classes;
    usual.width = width;
    usual.widths = widths;
    usual.arch = arch;
    std::unique_ptr<nn::Model> made = nn::make_model(model, usual);
    if (!weights.empty()) nn::load_weights(*made, weights);
    return made;
}

}  // namespace lathe::tools
