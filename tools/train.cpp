#include <cstdio>

#include "lathe/compress/channels/batch_norm_sparsity.h"
#include "lathe/core/ops/cross_entropy.h"
#include "lathe/core/parallel.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/registry.h"
#include "lathe/optim/trainer.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/data_options.h"
#include "lathe/tools/model_options.h"
#include "lathe/tools/run_folder.h"
#include "lathe/tools/training_options.h"

namespace lathe::tools {

namespace {

struct TrainOptions {
    std::string model, init;
    double width = 1.0;
    std::vector<int64_t> widths;
    std::string input = "auto";
    double dropout = -1;
    std::vector<std::string> freeze;

    DataOptions data;
    std::string augment = "auto";
    int64_t limit = 0;

    TrainingOptions training;
    double norm_sparsity = 0;
    RunFolder out;
};

// Images of a folder take the size that the network wants; the other data sets have their own.
Shape image_size(const TrainOptions& o, const nn::Model* init) {
    if (o.input != "auto") return parse_input(o.input);
    if (!o.data.is_folder()) return {};
    return init ? init->input_shape() : nn::make_model(o.model)->input_shape();
}

std::unique_ptr<nn::Model> load_init(const TrainOptions& o) {
    if (o.init.empty()) return nullptr;
    auto model = nn::load(o.init);
    check(o.model.empty() || o.model == model->architecture(), "train: --model is ", o.model, " but ", o.init, " holds ",
          model->architecture());
    check(o.width == 1 && o.widths.empty() && o.dropout < 0, "train: --width, --widths and --dropout are for a new network; ",
          o.init, " has its own");
    return model;
}

// The model to train: `init` fitted to images and classes, or a new one.
std::unique_ptr<nn::Model> make_network(const TrainOptions& o, std::unique_ptr<nn::Model> init, const data::Dataset& train) {
    const auto classes = static_cast<int64_t>(train.classes().size());
    if (init && init->input_shape() != train.image_shape()) init->set_input_shape(train.image_shape());
    auto model = init ? std::move(init)
                      : nn::make_model(o.model, {.classes = classes, .width = o.width, .widths = o.widths,
                                                 .input = train.image_shape(), .dropout = o.dropout});
    if (model->classes() != classes) model->replace_classifier(classes);
    for (const std::string& pattern : o.freeze) model->freeze(pattern);
    return model;
}

void train_network(CLI::App& command, TrainOptions& o) {
    o.out.enter(command);
    check(!o.data.data.empty(), "train: expected --data");
    o.training.begin();

    check(!o.model.empty() || !o.init.empty(), "train: expected --model or --init");
    auto init = load_init(o);
    const Shape size = image_size(o, init.get());
    const nn::InputScaling* scaling = init ? &init->scaling : nullptr;
    data::Dataset train = o.data.open(data::Split::train, size, scaling, o.augment);
    const data::Dataset test = o.data.open(data::Split::test, size, scaling);
    if (o.limit) train = train.take(0, std::min(o.limit, train.size()));
    const auto model = make_network(o, std::move(init), train);
    optim::Trainer trainer(*model, o.training.make_optimizer());

    o.out.claim(command);

    std::printf("%s\n%s\n%s: %s parameters, input %s, %s, %d thread%s, into %s\n", train.describe().c_str(), test.describe().c_str(),
                model->architecture().c_str(), with_commas(model->parameter_count()).c_str(), model->input_shape().str().c_str(),
                trainer.optimizer().describe().c_str(), threads(), threads() == 1 ? "" : "s", o.out.path.c_str());
    std::fflush(stdout);

    optim::FitOptions fit = o.training.fit;
    fit.workers = o.data.workers;
    fit.out = o.out.path;
    fit.resume = o.out.resumes_training();
    if (o.norm_sparsity > 0) {
        const double smoothing = fit.label_smoothing;
        fit.loss = compress::with_batch_norm_sparsity(*model, o.norm_sparsity, [=](const Variable& output, const data::Batch& batch) {
            return ops::cross_entropy(output, batch.labels, {.label_smoothing = smoothing});
        });
    }
    const optim::History history = o.training.run(trainer, train, test, fit);
    if (history.end == optim::History::End::stopped) {
        say_stopped("lathe train --out " + shell_quoted(o.out.path) + " --resume");
        return;
    }
    if (history.end == optim::History::End::early)
        std::printf("stopped early: %lld epochs without a better test result\n", static_cast<long long>(fit.patience));
    if (history.epochs.empty()) return;
    const optim::EpochReport& best = history.best();
    std::printf("best: epoch %lld, test accuracy %.2f%%, loss %.4f, in %s/best.safetensors\n", static_cast<long long>(best.epoch),
                best.test_accuracy, best.test_loss, o.out.path.c_str());
}

}  // namespace

void add_train(CLI::App& app) {
    auto o = std::make_shared<TrainOptions>();
    CLI::App& c = *app.add_subcommand("train", "Train a network on images");
    c.footer(description_help());
    c.add_option("--model", o->model, model_help());
    c.add_option("--init", o->init, "Start from this saved model; its classifier is replaced when the classes differ");
    c.add_option("--width", o->width, "Multiplies every channel count")->check(PositiveNumber)->capture_default_str();
    c.add_option("--widths", o->widths, "Channel counts one by one: 45,90,…")->delimiter(',')->expected(1, 1000);
    c.add_option("--input", o->input, "Image size HxWxC; auto: the data's, or the network's for folders")->capture_default_str();
    c.add_option("--dropout", o->dropout, "Probability; -1: the network's usual one")->check(ProbabilityOrUsual)->capture_default_str();
    c.add_option("--freeze", o->freeze, "Do not train parameters of this name or below it; * stands for anything")->expected(1, 1000);

    o->data.add_to(c);
    c.get_option("--data")->required(false);
    c.add_option("--augment", o->augment, "crop:4,flip,cutout:8,jitter:0.2,resized-crop:0.25, none, or auto (what suits the data)")->capture_default_str();
    c.add_option("--limit", o->limit, "Train on the first N images only; 0: all")->check(NonNegativeNumber)->capture_default_str();

    c.add_option("--epochs", o->training.fit.epochs, "Times through the training images")->check(PositiveNumber)->capture_default_str();
    o->training.add_to(c, 0.05);
    c.add_option("--norm-sparsity", o->norm_sparsity, "Adds so much x (sum of |scale| over all batch norms) to the loss, for pruning by --importance batch-norm; often 1e-4")
        ->check(NonNegativeNumber)->capture_default_str();
    o->out.add_to(c, "last.safetensors, best.safetensors, log.csv and config.json");
    c.callback([&c, o] { train_network(c, *o); });
}

}  // namespace lathe::tools
