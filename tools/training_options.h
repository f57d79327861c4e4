#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "lathe/optim/trainer.h"

namespace lathe::tools {

// How commands train: optimizer, learning rate, batch, seed, threads. --epochs is the command's own.
struct TrainingOptions {
    std::string optimizer = "sgd", schedule = "cosine";
    double lr = 0, momentum = 0.9, weight_decay = -1;
    bool nesterov = false, decay_all = false;
    optim::FitOptions fit;
    uint64_t seed = 0;
    int threads = 0;

    // `usual_lr` is what sgd takes unless told otherwise; adam and adamw take a fiftieth of it. `lr_schedule` is the option for
    // the learning rate over the run.
    void add_to(CLI::App& command, double usual_lr, const std::string& lr_schedule = "--schedule");
    std::unique_ptr<optim::Optimizer> make_optimizer() const;
    void begin() const;  // sets threads and seed

    // Trains with a progress bar and a line for each epoch. Ctrl-C or kill ends it after the step under way.
    optim::History run(optim::Trainer& trainer, const data::Dataset& train, const data::Dataset& test, optim::FitOptions options) const;

private:
    double usual_lr_ = 0;
};

// After a run that was stopped: says how to go on, and sets the exit code that the signal asks for.
void say_stopped(const std::string& how_to_go_on);

}  // namespace lathe::tools
