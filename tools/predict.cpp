#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>

#include "lathe/core/ops/softmax.h"
#include "lathe/core/text_table.h"
#include "lathe/data/image.h"
#include "lathe/data/transforms.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/data_options.h"
#include "lathe/tools/json_line.h"
#include "lathe/tools/saved.h"

namespace lathe::tools {

namespace {

struct PredictOptions {
    std::string model;
    std::vector<std::string> images;
    int top = 3;
    bool json = false;
};

// A picture as the network wants it, as those of a folder are brought to it.
Tensor input_of(const nn::Model& model, const std::string& path) {
    DataOptions folder;
    folder.data = "folder:";
    const ImageForm form = folder.form(model, Origin::saved);
    data::Image image = data::read_image(path, form.size[2]);
    Random none(0);
    if (form.size[0] == form.size[1]) image = data::fit(form.size[0])(std::move(image), none);
    else image = data::resize(form.size[0], form.size[1])(std::move(image), none);
    const Tensor x = data::to_tensor(image, {model.scaling.mean, model.scaling.std});
    return form.flat ? x.reshape({1, x.numel()}) : x;
}

std::vector<double> probabilities(nn::Model& model, const std::string& path) {
    const Variable logits = model(input_of(model, path));
    const Tensor p = ops::softmax(logits).value();
    std::vector<double> values;
    for (int64_t i = 0; i < p.numel(); ++i) values.push_back(p.at(i));
    check(std::isfinite(values.at(0)), path, ": the network's outputs are not finite");
    return values;
}

std::string class_name(const nn::Model& model, size_t i) {
    return i < model.class_names.size() ? model.class_names[i] : std::to_string(i);
}

void predict(const PredictOptions& o) {
    const auto model = open_saved(o.model).model;
    check(model->classes() > 0, o.model, ": expected a network that tells classes apart, got one that has none");
    model->eval();
    const NoGrad no_grad;
    nlohmann::ordered_json all = nlohmann::ordered_json::array();
    TextTable table({"image", "class", "probability"});
    for (const std::string& path : o.images) {
        const std::vector<double> p = probabilities(*model, path);
        std::vector<size_t> order(p.size());
        std::iota(order.begin(), order.end(), size_t{0});
        std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
        order.resize(std::min<size_t>(order.size(), static_cast<size_t>(o.top)));
        nlohmann::ordered_json found = nlohmann::ordered_json::array();
        for (size_t i : order) {
            found.push_back({{"class", class_name(*model, i)}, {"probability", p[i]}});
            table.add({i == order[0] ? path : "", class_name(*model, i), percent(p[i])});
        }
        all.push_back({{"image", path}, {"predictions", found}});
    }
    std::printf("%s", o.json ? json_line(all).c_str() : table.str().c_str());
}

}  // namespace

void add_predict(CLI::App& app) {
    auto o = std::make_shared<PredictOptions>();
    CLI::App& c = *app.add_subcommand("predict", "Name what is on image files");
    c.add_option("--model", o->model, "A saved .safetensors file")->required();
    c.add_option("images", o->images, "PNG, JPEG or BMP files")->required();
    c.add_option("--top", o->top, "How many classes to print for each")->check(PositiveNumber)->capture_default_str();
    c.add_flag("--json", o->json, "Print one JSON array");
    c.callback([o] { predict(*o); });
}

}  // namespace lathe::tools
