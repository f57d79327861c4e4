#include <csignal>
#include <cstdio>
#include <filesystem>

#include "lathe/core/file.h"
#include "lathe/core/parallel.h"
#include "lathe/core/random.h"
#include "lathe/nn/serialize.h"
#include "lathe/nn/zoo.h"
#include "lathe/optim/trainer.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/data_options.h"
#include "lathe/tools/progress.h"
#include "lathe/tools/settings.h"
#include "lathe/tools/table.h"

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

    std::string optimizer = "sgd", schedule = "cosine";
    double lr = 0, momentum = 0.9, weight_decay = -1;
    bool nesterov = false, decay_all = false;
    optim::FitOptions fit;

    uint64_t seed = 0;
    int threads = 0;
    std::string out;
    bool resume = false, force = false;
};

optim::Trainer* running = nullptr;
volatile std::sig_atomic_t caught_signal = 0;

// The first signal ends the run after the step under way, with a checkpoint; a second one ends the process.
void on_signal(int signal) {
    caught_signal = signal;
    if (running) running->request_stop();
    std::signal(signal, SIG_DFL);
}

std::unique_ptr<optim::Optimizer> make_optimizer(const TrainOptions& o) {
    auto or_usual = [](double value, double usual, double unset) { return value == unset ? usual : value; };
    if (o.optimizer == "sgd")
        return optim::sgd({.lr = or_usual(o.lr, 0.05, 0), .momentum = o.momentum, .weight_decay = or_usual(o.weight_decay, 5e-4, -1),
                           .nesterov = o.nesterov, .decay_biases = o.decay_all});
    if (o.optimizer == "adam")
        return optim::adam({.lr = or_usual(o.lr, 1e-3, 0), .weight_decay = or_usual(o.weight_decay, 0, -1), .decay_biases = o.decay_all});
    return optim::adamw({.lr = or_usual(o.lr, 1e-3, 0), .weight_decay = or_usual(o.weight_decay, 0.01, -1), .decay_biases = o.decay_all});
}

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

// The same network with the same weights for images of another size.
std::unique_ptr<nn::Model> for_input(std::unique_ptr<nn::Model> model, const Shape& input, const std::string& path) {
    if (model->input_shape() == input) return model;
    nn::ModelOptions options = model->options();
    options.input = input;
    auto fitted = nn::make_model(model->architecture(), options);
    nn::load_weights(*fitted, nn::to_file(*model), path);
    fitted->metadata = model->metadata;
    return fitted;
}

// The model to train: `init` fitted to images and classes, or a new one.
std::unique_ptr<nn::Model> make_network(const TrainOptions& o, std::unique_ptr<nn::Model> init, const data::Dataset& train) {
    const auto classes = static_cast<int64_t>(train.classes().size());
    auto model = init ? for_input(std::move(init), train.image_shape(), o.init)
                      : nn::make_model(o.model, {.classes = classes, .width = o.width, .widths = o.widths,
                                                 .input = train.image_shape(), .dropout = o.dropout});
    if (model->classes() != classes) model->replace_classifier(classes);
    for (const std::string& pattern : o.freeze) model->freeze(pattern);
    return model;
}

void print_epoch(const optim::EpochReport& e, int64_t epochs) {
    std::printf("epoch %*lld/%lld  loss %.4f  acc %5.2f%%  test loss %.4f  acc %5.2f%%  lr %.4g  %.0f img/s  data %.0f%%  %s\n",
                epochs > 99 ? 3 : epochs > 9 ? 2 : 1, static_cast<long long>(e.epoch), static_cast<long long>(epochs),
                e.train_loss, e.train_accuracy, e.test_loss, e.test_accuracy, e.lr, e.images_per_second, 100 * e.wait,
                human_time(e.seconds).c_str());
    std::fflush(stdout);
}

optim::History run(optim::Trainer& trainer, const data::Dataset& train, const data::Dataset& test, optim::FitOptions fit) {
    std::unique_ptr<Progress> progress;
    int64_t epoch = -1;
    fit.on_batch = [&](const optim::BatchReport& r) {
        const int64_t total = r.batches;
        if (r.epoch != epoch) {
            epoch = r.epoch;
            progress = std::make_unique<Progress>(format("epoch %lld/%lld", static_cast<long long>(r.epoch),
                                                         static_cast<long long>(r.epochs)), train.size());
        }
        if (r.testing) return progress->update(train.size(), "testing");
        progress->update(std::min(train.size(), train.size() * r.batch / std::max<int64_t>(total, 1)),
                         format("loss %.4f  acc %.2f%%  data %.0f%%", r.loss, r.accuracy, 100 * r.wait));
    };
    fit.on_epoch = [&](const optim::EpochReport& report) {
        progress.reset();
        epoch = -1;
        print_epoch(report, fit.epochs);
    };
    running = &trainer;
    std::signal(SIGINT, on_signal);
    std::signal(SIGTERM, on_signal);
    struct Restore {
        ~Restore() {
            running = nullptr;
            std::signal(SIGINT, SIG_DFL);
            std::signal(SIGTERM, SIG_DFL);
        }
    } restore;
    return trainer.fit(train, test, fit);
}

// A run is hours of work: another one takes its folder only when told to. Its checkpoint goes before its settings do, so
// that the two never belong to different runs.
void begin_run(const TrainOptions& o, const CLI::App& command) {
    namespace fs = std::filesystem;
    std::error_code error;
    fs::create_directories(o.out, error);
    check(!error, o.out, ": cannot make the folder: ", error.message());
    for (const char* name : {"last.safetensors", "best.safetensors", "log.csv"}) {
        fs::remove(o.out + "/" + name, error);
        check(!error, o.out, ": cannot remove ", name, " of the run before: ", error.message());
    }
    write_file_atomically(o.out + "/config.json", settings_json(command));
}

void train_network(CLI::App& command, TrainOptions& o) {
    if (o.resume) restore_settings(command, o.out + "/config.json", {"out", "threads", "workers", "data-root", "checkpoint-activations"});
    check(o.resume || o.force || !std::filesystem::exists(o.out + "/last.safetensors"), "train: ", o.out,
          " holds a run; --resume goes on with it, --force replaces it, another --out keeps it");
    check(!o.data.data.empty(), "train: expected --data");
    if (o.threads > 0) set_threads(o.threads);
    seed(o.seed);

    check(!o.model.empty() || !o.init.empty(), "train: expected --model or --init");
    auto init = load_init(o);
    const Shape size = image_size(o, init.get());
    const nn::InputScaling* scaling = init ? &init->scaling : nullptr;
    data::Dataset train = o.data.open(data::Split::train, size, scaling, o.augment);
    const data::Dataset test = o.data.open(data::Split::test, size, scaling);
    if (o.limit) train = train.take(0, std::min(o.limit, train.size()));
    const auto model = make_network(o, std::move(init), train);
    optim::Trainer trainer(*model, make_optimizer(o));

    if (!o.resume) begin_run(o, command);

    std::printf("%s\n%s\n%s: %s parameters, input %s, %s, %d thread%s, into %s\n", train.describe().c_str(), test.describe().c_str(),
                model->architecture().c_str(), with_commas(model->parameter_count()).c_str(), model->input_shape().str().c_str(),
                trainer.optimizer().describe().c_str(), threads(), threads() == 1 ? "" : "s", o.out.c_str());
    std::fflush(stdout);

    o.fit.schedule = optim::parse_schedule(o.schedule);
    o.fit.seed = o.seed;
    o.fit.workers = o.data.workers;
    o.fit.out = o.out;
    o.fit.resume = o.resume;
    const optim::History history = run(trainer, train, test, o.fit);
    if (history.end == optim::History::End::stopped) {
        std::printf("stopped; go on with: lathe train --out %s --resume\n", o.out.c_str());
        exit_code() = 128 + caught_signal;
        return;
    }
    if (history.end == optim::History::End::early)
        std::printf("stopped early: %lld epochs without a better test result\n", static_cast<long long>(o.fit.patience));
    if (history.epochs.empty()) return;
    const optim::EpochReport& best = history.best();
    std::printf("best: epoch %lld, test accuracy %.2f%%, loss %.4f, in %s/best.safetensors\n", static_cast<long long>(best.epoch),
                best.test_accuracy, best.test_loss, o.out.c_str());
}

}  // namespace

void add_train(CLI::App& app) {
    auto o = std::make_shared<TrainOptions>();
    CLI::App& c = *app.add_subcommand("train", "Train a network on images");
    c.add_option("--model", o->model, "lenet5, vgg-cifar, resnet20, mobilenetv2, resnet8, mobilenetv1-025, ds-cnn");
    c.add_option("--init", o->init, "Start from this saved model; its classifier is replaced when the classes differ");
    c.add_option("--width", o->width, "Multiplies every channel count")->check(PositiveNumber)->capture_default_str();
    c.add_option("--widths", o->widths, "Channel counts one by one: 45,90,…")->delimiter(',')->expected(1, 1000);
    c.add_option("--input", o->input, "Image size HxWxC; auto: the data's, or the network's for folders")->capture_default_str();
    c.add_option("--dropout", o->dropout, "Probability; -1: the network's usual one")->capture_default_str();
    c.add_option("--freeze", o->freeze, "Do not train parameters of this name or below it; * stands for anything")->expected(1, 1000);

    o->data.add_to(c);
    c.get_option("--data")->required(false);
    c.add_option("--augment", o->augment, "crop:4,flip,cutout:8,jitter:0.2,resized-crop:0.25, none, or auto (what suits the data)")->capture_default_str();
    c.add_option("--limit", o->limit, "Train on the first N images only; 0: all")->check(NonNegativeNumber)->capture_default_str();

    c.add_option("--epochs", o->fit.epochs, "Times through the training images")->check(PositiveNumber)->capture_default_str();
    c.add_option("--batch", o->fit.batch, "Images per step")->check(PositiveNumber)->capture_default_str();
    c.add_option("--optimizer", o->optimizer, "sgd, adam or adamw")->check(CLI::IsMember({"sgd", "adam", "adamw"}))->capture_default_str();
    c.add_option("--lr", o->lr, "Learning rate; 0: 0.05 for sgd, 0.001 for adam and adamw")->check(NonNegativeNumber)->capture_default_str();
    c.add_option("--momentum", o->momentum, "Of sgd")->check(CLI::Range(0.0, 1.0))->capture_default_str();
    c.add_flag("--nesterov", o->nesterov, "Nesterov's momentum");
    c.add_option("--weight-decay", o->weight_decay, "-1: 5e-4 for sgd, 0 for adam, 0.01 for adamw")->capture_default_str();
    c.add_flag("--decay-all", o->decay_all, "Decay biases and norms, too");
    c.add_option("--schedule", o->schedule, "constant, step:30:0.1, multi-step:60,120:0.2, cosine, one-cycle; +warmup:EPOCHS behind it")->capture_default_str();
    c.add_option("--label-smoothing", o->fit.label_smoothing, "Share of the target spread over all classes")->check(CLI::Range(0.0, 1.0))->capture_default_str();
    c.add_option("--clip", o->fit.clip_norm, "Greatest norm of all gradients together; 0: any")->check(NonNegativeNumber)->capture_default_str();
    c.add_option("--ema", o->fit.ema, "Decay of the moving average of the weights; 0: none")->check(CLI::Range(0.0, 1.0))->capture_default_str();
    c.add_flag("--checkpoint-activations", o->fit.checkpoint_activations, "Less memory for about a third more compute, the same result");
    c.add_option("--patience", o->fit.patience, "Stop after so many epochs without a better test result; 0: never")->check(NonNegativeNumber)->capture_default_str();

    c.add_option("--seed", o->seed, "Of initial weights, order, augmentation and dropout")->capture_default_str();
    c.add_option("--threads", o->threads, "0: OMP_NUM_THREADS, else all cores")->check(CLI::Range(0, 4096))->capture_default_str();
    c.add_option("--out", o->out, "Folder for last.safetensors, best.safetensors, log.csv and config.json")->required();
    auto* resume = c.add_flag("--resume", o->resume, "Go on from OUT/last.safetensors with the settings of OUT/config.json");
    c.add_flag("--force", o->force, "Replace the run that is in OUT")->excludes(resume);
    c.callback([&c, o] { train_network(c, *o); });
}

}  // namespace lathe::tools
