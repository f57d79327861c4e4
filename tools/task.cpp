#include "lathe/tools/task.h"

#include <algorithm>
#include <set>

#include "lathe/core/files/json.inc"
#include "lathe/core/text_table.h"

namespace lathe::tools {

namespace {

constexpr const char* kNormal = "normal_classes";

nlohmann::json normal_classes(const nn::Model& model) {
    const auto found = model.metadata.find(kNormal);
    return found == model.metadata.end() ? nlohmann::json::array() : parse_json(found->second, kNormal);
}

bool is_one_of(const nlohmann::json& names, const std::string& name) {
    return names.is_array() && std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

void keep_normal_classes(nn::Model& model, const std::vector<std::string>& names) {
    model.metadata[kNormal] = text_of(nlohmann::json(names));
}

optim::Task task_of(nn::Model& model, const data::Dataset& images) {
    const auto classes = static_cast<int64_t>(images.classes().size());
    if (model.classes() != 0) {
        check(model.classes() == classes, "the model tells ", model.classes(), " classes apart, ", images.info().name,
              " has ", classes);
        return optim::classification();
    }
    const Graph graph = nn::trace(model, model.example());
    const Shape &input = graph[graph.input()].shape, &output = graph[graph.output].shape;
    check(output == input, model.architecture(), ": expected an output for each class, or one like the input ", input,
          ", got ", output);
    optim::ReconstructionOptions options;
    const nlohmann::json normal = normal_classes(model);
    for (int64_t label = 0; label < classes; ++label)
        if (is_one_of(normal, images.classes()[static_cast<size_t>(label)])) options.normal.push_back(label);
    return optim::reconstruction(options);
}

bool same_classes(const nn::Model& model, const std::vector<std::string>& classes) {
    if (model.class_names.empty()) return model.classes() == static_cast<int64_t>(classes.size());
    return std::set(classes.begin(), classes.end()) == std::set(model.class_names.begin(), model.class_names.end());
}

data::Dataset labelled_for(const nn::Model& model, const data::Dataset& images) {
    if (model.class_names.empty() || model.class_names == images.classes()) return images;
    const size_t here = images.classes().size(), all = model.class_names.size();
    return images.with_classes(model.class_names)
        .with_note(here == all ? "labelled in the model's order"
                               : format("%zu of the model's %zu classes, in its order", here, all));
}

std::string say_normal(const nn::Model& model, const data::Dataset& images) {
    if (model.classes() != 0) return "";
    std::string normal, anomalous;
    const nlohmann::json normal_names = normal_classes(model);
    for (const std::string& name : images.classes()) {
        std::string& names = is_one_of(normal_names, name) ? normal : anomalous;
        names += (names.empty() ? "" : ", ") + printable(name);
    }
    return normal.empty() || anomalous.empty() ? "" : "normal: " + normal + "; anomalous: " + anomalous + "\n";
}

}  // namespace lathe::tools
