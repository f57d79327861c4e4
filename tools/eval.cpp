#include <cstdio>
#include <nlohmann/json.hpp>

#include "lathe/core/text_table.h"
#include "lathe/nn/models/registry.h"
#include "lathe/optim/evaluate.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/common_options.h"
#include "lathe/tools/data_options.h"
#include "lathe/tools/json_line.h"
#include "lathe/tools/model_options.h"
#include "lathe/tools/progress.h"
#include "lathe/tools/task.h"

namespace lathe::tools {

namespace {

struct EvalOptions {
    ModelOptions model;
    DataOptions data;
    std::string split = "test", input = "auto";
    int64_t batch = 128;
    bool json = false;
};

optim::Evaluation::Count all(const std::vector<optim::Evaluation::Count>& classes) {
    optim::Evaluation::Count sum;
    for (const auto& [correct, total] : classes) sum.correct += correct, sum.total += total;
    return sum;
}

void print_json(const optim::Evaluation& result, const data::Dataset& dataset) {
    const auto classes = result.classes();
    const auto [found, images] = all(classes);
    nlohmann::ordered_json out{
        {"correct", found}, {"total", images}, {"top1", result["accuracy"]}, {"loss", result.loss}};
    for (size_t i = 0; i < classes.size(); ++i)
        out["classes"].push_back(
            {{"name", dataset.classes()[i]}, {"correct", classes[i].correct}, {"total", classes[i].total}});
    std::printf("%s", json_line(out).c_str());
}

void print_table(const optim::Evaluation& result, const data::Dataset& dataset) {
    TextTable table({"class", "correct", "of", "accuracy"});
    const auto classes = result.classes();
    for (size_t i = 0; i < classes.size(); ++i) {
        const auto& [correct, total] = classes[i];
        table.add({dataset.classes()[i], with_commas(correct), with_commas(total),
                   total ? format("%.2f%%", 100.0 * static_cast<double>(correct) / static_cast<double>(total)) : ""});
    }
    table.add_rule();
    const auto [found, images] = all(classes);
    table.add({"all", with_commas(found), with_commas(images), format("%.2f%%", result["accuracy"])});
    std::printf("%s\n%stop-1 %.2f%%, loss %.4f\n", dataset.describe().c_str(), table.str().c_str(), result["accuracy"],
                result.loss);
}

void print_reconstruction(const optim::Evaluation& result, const data::Dataset& dataset, const nn::Model& model,
                          bool json) {
    nlohmann::ordered_json out{{"total", result.tally.examples}, {"loss", result.loss}};
    for (const optim::Metric& metric : result.metrics) out[metric.name] = metric.value;
    if (json) std::printf("%s", json_line(out).c_str());
    else
        std::printf("%s\n%sreconstruction: %s\n", dataset.describe().c_str(), say_normal(model, dataset).c_str(),
                    result.str().c_str());
}

void eval(EvalOptions& o) {
    Saved saved;
    if (o.model.is_file()) saved = o.model.open();
    std::unique_ptr<nn::Model>& model = saved.model;
    const ImageForm form = form_of(o.data, model.get(), o.model.model, o.model.arch, o.input);
    data::Dataset dataset = o.data.open(data::split_of(o.split), form);
    if (o.data.skip_damaged) dataset = dataset.without(o.data.damaged(dataset));
    const auto classes = static_cast<int64_t>(dataset.classes().size());
    if (!model) model = o.model.make({.classes = form.reconstructs ? 0 : classes, .input = dataset.input_shape()});
    dataset = labelled_for(*model, dataset);
    const optim::Task task = task_of(*model, dataset);

    Progress progress("eval", dataset.size(), !o.json);
    const Runner run(saved, model->example(std::min(o.batch, dataset.size())));
    const optim::Evaluation result = optim::evaluate(
        [&](const Tensor& x) { return run(x); }, dataset,
        {.task = task, .batch = o.batch, .workers = o.data.workers, .go_on = [&](int64_t done, int64_t) {
             return progress.update(done), true;
         }});
    progress.clear();
    if (form.reconstructs) print_reconstruction(result, dataset, *model, o.json);
    else o.json ? print_json(result, dataset) : print_table(result, dataset);
}

}  // namespace

void add_eval(CLI::App& app) {
    auto o = std::make_shared<EvalOptions>();
    CLI::App& c = *app.add_subcommand("eval", "Measure the accuracy of a model on images");
    o->model.add_to(c);
    o->data.add_to(c);
    c.add_option("--split", o->split, "test, train or validation")
        ->check(CLI::IsMember({"test", "train", "validation"}))
        ->capture_default_str();
    add_input(c, o->input);
    c.add_option("--batch", o->batch, "Images at a time")->check(PositiveNumber)->capture_default_str();
    add_threads(c);
    c.add_flag("--json", o->json, "Print one JSON object");
    c.callback([o] { eval(*o); });
}

}  // namespace lathe::tools
