#include <algorithm>
#include <cstdio>

#include "lathe/compress/channels/batch_norm_sparsity.h"
#include "lathe/core/parallel.h"
#include "lathe/core/text.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/registry.h"
#include "lathe/optim/trainer.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/common_options.h"
#include "lathe/tools/model_options.h"
#include "lathe/tools/run_folder.h"
#include "lathe/tools/task.h"
#include "lathe/tools/training_data.h"
#include "lathe/tools/training_options.h"

namespace lathe::tools {

namespace {

struct TrainOptions {
    std::string model, init, arch;
    double width = 1.0;
    std::vector<int64_t> widths;
    std::string input = "auto";
    double dropout = -1;
    std::vector<std::string> freeze;

    TrainingDataOptions data;
    TrainingOptions training;
    double norm_sparsity = 0;
    RunFolder out;
};

std::string listed(const std::vector<std::string>& classes) { return printable(shortened(joined(classes), 80)); }

// What the run starts from or goes on with; none: a new network.
std::unique_ptr<nn::Model> load_init(const TrainOptions& o) {
    if (o.out.resumes_training()) return nn::load(o.out / "last.safetensors");
    if (o.init.empty()) return nullptr;
    auto model = nn::load(o.init);
    check(o.model.empty() || o.model == model->architecture(), "train: --model is ", o.model, " but ", o.init,
          " holds ", model->architecture());
    check(o.width == 1 && o.widths.empty() && o.dropout < 0 && o.arch.empty(),
          "train: --width, --widths, --dropout and --arch are for a new network; ", o.init, " has its own");
    return model;
}

// The model to train: `init` fitted to images and classes, or a new one.
std::unique_ptr<nn::Model> make_network(const TrainOptions& o, std::unique_ptr<nn::Model> init,
                                        const data::Dataset& train, bool reconstructs) {
    const auto classes = reconstructs ? 0 : static_cast<int64_t>(train.classes().size());
    if (init && init->input_shape() != train.input_shape()) init->set_input_shape(train.input_shape());
    auto model = init ? std::move(init)
                      : nn::make_model(o.model, {.classes = classes, .width = o.width, .widths = o.widths,
                                                 .input = train.input_shape(), .dropout = o.dropout,
                                                 .arch = o.arch});
    if (!reconstructs && !same_classes(*model, train.classes())) {
        check(!o.out.resumes_training(), "--resume: the run was begun with classes ", listed(model->class_names),
              ", got ", listed(train.classes()));
        std::printf("a new classifier for %s, in place of that for %s\n", listed(train.classes()).c_str(),
                    model->class_names.empty() ? (std::to_string(model->classes()) + " classes").c_str()
                                               : listed(model->class_names).c_str());
        model->replace_classifier(classes);
    }
    if (reconstructs) keep_normal_classes(*model, train.classes());
    for (const std::string& pattern : o.freeze) model->freeze(pattern);
    const auto parameters = model->named_parameters();
    check(std::any_of(parameters.begin(), parameters.end(), [](const auto& p) { return p.second->trainable(); }),
          "train: --freeze ", joined(o.freeze), " leaves nothing to train");
    return model;
}

void train_network(CLI::App& command, TrainOptions& o) {
    o.out.enter(command);
    check(!o.data.data.empty(), "train: expected --data");
    o.training.begin();

    check(!o.model.empty() || !o.init.empty(), "train: expected --model or --init");
    auto init = load_init(o);
    const ImageForm form = form_of(o.data, init.get(), o.model, o.arch, o.input);
    TrainingData data = o.data.open(form, o.training.fit.seed);
    const auto model = make_network(o, std::move(init), data.train, form.reconstructs);
    data.label_for(*model);
    const optim::Task final_task = task_of(*model, data.final());
    check(data.test || say_normal(*model, data.validation).empty(),
          "train: anomalous images must not choose the best epoch; expected --validation above 0");
    optim::Trainer trainer(*model, o.training.make_optimizer());

    o.out.claim(command);

    std::printf("%s%s%s: %s parameters, input %s, %s, %d thread%s, into %s\n", data.describe().c_str(),
                say_normal(*model, data.final()).c_str(), printable(model->architecture()).c_str(),
                with_commas(model->parameter_count()).c_str(), model->input_shape().str().c_str(),
                trainer.optimizer().describe().c_str(), threads(), threads() == 1 ? "" : "s", o.out.path.c_str());
    std::fflush(stdout);

    optim::FitOptions fit = o.training.fit_into(o.out, o.data.workers);
    if (form.reconstructs) fit.task = optim::reconstruction(), fit.loss = {};
    if (o.norm_sparsity > 0)
        fit.loss = compress::with_batch_norm_sparsity(*model, o.norm_sparsity, fit.loss ? fit.loss : fit.task.loss);
    const optim::History history = o.training.run(trainer, data.train, data.validation, fit);
    if (history.end == optim::History::End::stopped) {
        say_stopped("train", o.out);
        return;
    }
    if (history.end == optim::History::End::early)
        std::printf("stopped early: %lld epochs without a better validation result\n",
                    static_cast<long long>(fit.patience));
    if (history.epochs.empty()) return;
    const optim::EpochReport& best = history.best();
    std::printf("best: epoch %lld, validation %s, in %s/best.safetensors\n", static_cast<long long>(best.epoch),
                best.validation.str().c_str(), o.out.path.c_str());
    if (!data.test) return;
    const auto chosen = nn::load(o.out / "best.safetensors");
    const optim::Evaluation result =
        optim::evaluate(*chosen, *data.test, {.task = final_task, .batch = fit.batch, .workers = fit.workers});
    std::printf("test: %s\n", result.str().c_str());
}

}  // namespace

void add_train(CLI::App& app) {
    auto o = std::make_shared<TrainOptions>();
    CLI::App& c = *app.add_subcommand("train", "Train a network on images");
    c.footer(description_help());
    c.add_option("--model", o->model, model_help());
    c.add_option("--init", o->init,
                 "Start from this saved model; its classifier is replaced when the classes differ in name or number");
    c.add_option("--width", o->width, "Multiplies every channel count")->check(PositiveNumber)->capture_default_str();
    c.add_option("--widths", o->widths, "Channel counts one by one: 45,90,…")->delimiter(',')->expected(1, 1000);
    add_input(c, o->input);
    c.add_option("--dropout", o->dropout, "Probability; -1: the network's usual one")
        ->check(ProbabilityOrUsual)
        ->capture_default_str();
    add_arch(c, o->arch);
    c.add_option("--freeze", o->freeze, "Do not train parameters of these names or below them; * stands for anything")
        ->delimiter(',')
        ->expected(1, 1000);

    o->data.add_to(c);
    c.add_option("--epochs", o->training.fit.epochs, "Times through the training images")
        ->check(PositiveNumber)
        ->capture_default_str();
    o->training.add_to(c, 0.05);
    c.add_option("--norm-sparsity", o->norm_sparsity,
                 "Adds so much x (sum of |scale| over all batch norms) to the loss, for pruning by --importance "
                 "batch-norm; often 1e-4")
        ->check(NonNegativeNumber)
        ->capture_default_str();
    o->out.add_to(c, "last.safetensors, best.safetensors, log.csv and config.json");
    c.callback([&c, o] { train_network(c, *o); });
}

}  // namespace lathe::tools
