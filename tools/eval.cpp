#include <cstdio>
#include <nlohmann/json.hpp>

#include "lathe/core/parallel.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/models/registry.h"
#include "lathe/optim/evaluate.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/data_options.h"
#include "lathe/tools/json_line.h"
#include "lathe/tools/model_options.h"
#include "lathe/tools/progress.h"

namespace lathe::tools {

namespace {

struct EvalOptions {
    ModelOptions model;
    DataOptions data;
    std::string split = "test", input = "auto";
    int64_t batch = 128;
    int threads = 0;
    bool json = false;
};

void print_json(const optim::Evaluation& result, const data::Dataset& dataset) {
    nlohmann::ordered_json out{{"correct", result.correct}, {"total", result.total}, {"top1", result.top1()}, {"loss", result.loss}};
    for (size_t i = 0; i < result.classes.size(); ++i)
        out["classes"].push_back({{"name", dataset.classes()[i]}, {"correct", result.classes[i].correct}, {"total", result.classes[i].total}});
    std::printf("%s", json_line(out).c_str());
}

void print_table(const optim::Evaluation& result, const data::Dataset& dataset) {
    TextTable table({"class", "correct", "of", "accuracy"});
    for (size_t i = 0; i < result.classes.size(); ++i) {
        const auto& [correct, total] = result.classes[i];
        table.add({dataset.classes()[i], with_commas(correct), with_commas(total),
                   total ? format("%.2f%%", 100.0 * static_cast<double>(correct) / static_cast<double>(total)) : ""});
    }
    table.add_rule();
    table.add({"all", with_commas(result.correct), with_commas(result.total), format("%.2f%%", result.top1())});
    std::printf("%s\n%stop-1 %.2f%%, loss %.4f\n", dataset.describe().c_str(), table.str().c_str(), result.top1(), result.loss);
}

void eval(EvalOptions& o) {
    if (o.threads > 0) set_threads(o.threads);
    const data::Split split = o.split == "train" ? data::Split::train : data::Split::test;
    std::unique_ptr<nn::Model> model;
    if (o.model.is_file()) model = o.model.make();
    Shape size;
    if (o.input != "auto") size = parse_input(o.input);
    else if (o.data.is_folder()) size = model ? model->input_shape() : nn::make_model(o.model.model)->input_shape();

    const data::Dataset dataset = o.data.open(split, size, model ? &model->scaling : nullptr);
    const auto classes = static_cast<int64_t>(dataset.classes().size());
    if (!model) model = o.model.make({.classes = classes, .input = dataset.image_shape()});
    check(model->classes() == classes, "eval: the model tells ", model->classes(), " classes apart, ", o.data.data, " has ", classes);

    Progress progress("eval", dataset.size(), !o.json);
    const Shape image = dataset.image_shape();
    const nn::Inference inference(*model, Tensor::zeros({std::min(o.batch, dataset.size()), image[0], image[1], image[2]}));
    const optim::Evaluation result = optim::evaluate(inference, dataset, {.batch = o.batch, .workers = o.data.workers,
        .go_on = [&](int64_t done, int64_t) { return progress.update(done), true; }});
    progress.clear();
    o.json ? print_json(result, dataset) : print_table(result, dataset);
}

}  // namespace

void add_eval(CLI::App& app) {
    auto o = std::make_shared<EvalOptions>();
    CLI::App& c = *app.add_subcommand("eval", "Measure the accuracy of a model on images");
    o->model.add_to(c);
    o->data.add_to(c);
    c.add_option("--split", o->split, "test or train")->check(CLI::IsMember({"test", "train"}))->capture_default_str();
    c.add_option("--input", o->input, "Image size HxWxC; auto: the data's, or the network's for folders")->capture_default_str();
    c.add_option("--batch", o->batch, "Images at a time")->check(PositiveNumber)->capture_default_str();
    c.add_option("--threads", o->threads, "0: OMP_NUM_THREADS, else all cores")->check(CLI::Range(0, 4096))->capture_default_str();
    c.add_flag("--json", o->json, "Print one JSON object");
    c.callback([o] { eval(*o); });
}

}  // namespace lathe::tools
