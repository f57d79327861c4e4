#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "lathe/optim/trainer.h"
#include "lathe/tools/run_folder.h"

namespace lathe::tools {

// How commands train: optimizer, learning rate, batch, seed, threads. --epochs is the command's own.
struct TrainingOptions {
    std::string optimizer = "sgd", schedule = "cosine";
    double lr = 0, momentum = 0.9, weight_decay = -1, label_smoothing = 0;
    bool nesterov = false, decay_all = false;
    optim::FitOptions fit;

    // `usual_lr` is what sgd takes unless told otherwise; adam and adamw take a fiftieth of it.
    void add_to(CLI::App& command, double usual_lr);
    // Before anything is opened: seeds the run. Error: options that do not go together.
    void begin() const;
    std::unique_ptr<optim::Optimizer> make_optimizer() const;
    // For a run on class labels into that folder, which goes on if it is to.
    optim::FitOptions fit_into(const RunFolder& out, int workers) const;

    // Trains as `options` say, with a progress bar and a line for each epoch. Ctrl-C or kill ends it after the step
    // under way.
    optim::History run(optim::Trainer& trainer, const data::Dataset& train, const data::Dataset& validation,
                       optim::FitOptions options) const;

private:
    double usual_lr_ = 0;
};

// After a run of `lathe COMMAND` that was stopped: keeps it, says how to go on, and sets the exit code that the signal
// asks for.
void say_stopped(const std::string& command, RunFolder& out);

}  // namespace lathe::tools
