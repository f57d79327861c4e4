#include "lathe/tools/training_options.h"

#include <csignal>
#include <cstdio>

#include "lathe/core/random.h"
#include "lathe/core/text.h"
#include "lathe/core/text_table.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/common_options.h"
#include "lathe/tools/progress.h"

namespace lathe::tools {

namespace {

optim::Trainer* running = nullptr;
volatile std::sig_atomic_t caught_signal = 0;

// The first signal ends the run after the step under way, with a checkpoint; a second one ends the process.
void on_signal(int signal) {
    caught_signal = signal;
    if (running) running->request_stop();
    std::signal(signal, SIG_DFL);
}

// While it lives, SIGINT, SIGTERM and SIGHUP stop the trainer. What was ignored stays so, as after nohup or `command &`
// in a script.
class HandleSignals {
public:
    explicit HandleSignals(optim::Trainer& trainer) {
        running = &trainer;
        for (auto& [signal, before] : before_)
            if ((before = std::signal(signal, on_signal)) == SIG_IGN) std::signal(signal, SIG_IGN);
    }
    ~HandleSignals() {
        for (const auto& [signal, before] : before_) std::signal(signal, before);
        running = nullptr;
    }
    HandleSignals(const HandleSignals&) = delete;
    HandleSignals& operator=(const HandleSignals&) = delete;

private:
    std::pair<int, void (*)(int)> before_[3] = {{SIGINT, SIG_DFL}, {SIGTERM, SIG_DFL}, {SIGHUP, SIG_DFL}};
};

void print_epoch(const optim::EpochReport& e, int64_t epochs) {
    std::printf("epoch %*lld/%lld  %s  validation %s  lr %.4g  %.0f img/s  data %.0f%%  %s\n",
                epochs > 99 ? 3 : epochs > 9 ? 2 : 1, static_cast<long long>(e.epoch), static_cast<long long>(epochs),
                e.train.str().c_str(), e.validation.str().c_str(), e.lr, e.examples_per_second, 100 * e.wait,
                human_time(e.seconds).c_str());
    std::fflush(stdout);
}

}  // namespace

void TrainingOptions::add_to(CLI::App& c, double usual_lr) {
    usual_lr_ = usual_lr;
    c.add_option("--batch", fit.batch, "Images per step")->check(PositiveNumber)->capture_default_str();
    c.add_option("--optimizer", optimizer, "sgd, adam or adamw")
        ->check(CLI::IsMember({"sgd", "adam", "adamw"}))
        ->capture_default_str();
    c.add_option("--lr", lr, format("Learning rate; 0: %g for sgd, %g for adam and adamw", usual_lr, usual_lr / 50))
        ->check(NonNegativeNumber)
        ->capture_default_str();
    add_share(c, "--momentum", momentum, "Of sgd");
    c.add_flag("--nesterov", nesterov, "Nesterov's momentum");
    c.add_option("--weight-decay", weight_decay, "-1: 5e-4 for sgd, 0 for adam, 0.01 for adamw")
        ->check(NonNegativeOrUsual)
        ->capture_default_str();
    c.add_flag("--decay-all", decay_all, "Decay biases and norms, too");
    c.add_option("--lr-schedule", schedule,
                 "Learning rate over the run: constant, step:30:0.1, multi-step:60,120:0.2, cosine, one-cycle; "
                 "+warmup:EPOCHS, +restart:EPOCHS behind it")
        ->capture_default_str();
    add_share(c, "--label-smoothing", label_smoothing, "Share of the target spread over all classes");
    c.add_option("--clip", fit.clip_norm, "Greatest norm of all gradients together; 0: any")
        ->check(NonNegativeNumber)
        ->capture_default_str();
    add_share(c, "--ema", fit.ema, "Decay of the moving average of the weights; 0: none");
    c.add_flag("--recompute-activations", fit.recompute_activations,
               "Less memory for about a third more compute, the same result");
    c.add_option("--patience", fit.patience, "Stop after so many epochs without a better validation result; 0: never")
        ->check(NonNegativeNumber)
        ->capture_default_str();
    c.add_option("--seed", fit.seed, "Of initial weights, order, augmentation and dropout")->capture_default_str();
    add_threads(c);
}

void TrainingOptions::begin() const {
    optim::parse_schedule(schedule);  // what is wrong with it is known before anything is opened
    check(!nesterov || optimizer == "sgd", "--nesterov is for sgd, got --optimizer ", optimizer);
    seed(fit.seed);
}

std::unique_ptr<optim::Optimizer> TrainingOptions::make_optimizer() const {
    auto or_usual = [](double value, double usual, double unset) { return value == unset ? usual : value; };
    if (optimizer == "sgd")
        return optim::sgd({.lr = or_usual(lr, usual_lr_, 0),
                           .momentum = momentum,
                           .weight_decay = or_usual(weight_decay, 5e-4, -1),
                           .nesterov = nesterov,
                           .decay_biases = decay_all});
    if (optimizer == "adam")
        return optim::adam({.lr = or_usual(lr, usual_lr_ / 50, 0),
                            .weight_decay = or_usual(weight_decay, 0, -1),
                            .decay_biases = decay_all});
    return optim::adamw({.lr = or_usual(lr, usual_lr_ / 50, 0),
                         .weight_decay = or_usual(weight_decay, 0.01, -1),
                         .decay_biases = decay_all});
}

optim::History TrainingOptions::run(optim::Trainer& trainer, const data::Dataset& train,
                                    const data::Dataset& validation, optim::FitOptions fit) const {
    std::unique_ptr<Progress> progress;
    int64_t epoch = -1;
    fit.on_batch = [&](const optim::BatchReport& r) {
        const int64_t total = r.batches;
        if (r.epoch != epoch) {
            epoch = r.epoch;
            progress = std::make_unique<Progress>(format("epoch %lld/%lld", static_cast<long long>(r.epoch),
                                                         static_cast<long long>(r.epochs)), train.size());
        }
        if (r.validating) return progress->update(train.size(), "validating");
        progress->update(std::min(train.size(), train.size() * r.batch / std::max<int64_t>(total, 1)),
                         r.train.str() + format("  data %.0f%%", 100 * r.wait));
    };
    fit.on_epoch = [&](const optim::EpochReport& report) {
        progress.reset();
        epoch = -1;
        print_epoch(report, fit.epochs);
    };
    const HandleSignals handle(trainer);
    return trainer.fit(train, validation, fit);
}

optim::FitOptions TrainingOptions::fit_into(const RunFolder& out, int workers) const {
    optim::FitOptions options = fit;
    options.schedule = optim::parse_schedule(schedule);
    options.loss = optim::cross_entropy({.label_smoothing = label_smoothing});
    options.workers = workers;
    options.out = out.path;
    options.resume = out.resumes_training();
    return options;
}

void say_stopped(const std::string& command, RunFolder& out) {
    out.keep();
    std::printf("stopped; go on with: lathe %s --out %s --resume\n", command.c_str(), shell_quoted(out.path).c_str());
    exit_code() = 128 + caught_signal;
}

}  // namespace lathe::tools
