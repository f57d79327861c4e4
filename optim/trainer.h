#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lathe/data/loader.h"
#include "lathe/optim/checkpoint.h"
#include "lathe/optim/ema.h"
#include "lathe/optim/evaluate.h"
#include "lathe/optim/optimizer.h"
#include "lathe/optim/schedule.h"
#include "lathe/optim/step.h"

namespace lathe::optim {

// What is known after a step, for progress bars and hooks.
struct BatchReport {
    int64_t epoch = 0, epochs = 0;   // the one under way, from 1
    int64_t batch = 0, batches = 0;  // how many of it are done
    Result train;                    // of the epoch so far
    double lr = 0;                   // of this step
    double examples_per_second = 0;
    double wait = 0;                 // share of the epoch's time so far spent waiting for data
    bool validating = false;         // the epoch's training is over: batches of the validation set
};

// Takes part in every step of a run: a schedule that prunes while training, a regulariser that adds to gradients. What
// it does must follow from the position, the module and what it was made with; then a run that is resumed, with a hook
// made the same, ends with the same bits.
class StepHook {
public:
    virtual ~StepHook() = default;
    virtual void before_step(const Position&) {}    // before the forward
    virtual void before_update(const Position&) {}  // the gradients are there, not clipped yet
    // Whether an epoch that ends here may be the best: not while the network is still to change. Once true it stays so.
    virtual bool settled(const Position&) const { return true; }
    virtual RunSettings settings() const { return {}; }  // what a resumed run must share, beside the trainer's own
};

struct FitOptions {
    int64_t epochs = 10;  // of the whole run, also when it is resumed
    int64_t batch = 128;  // a single example left over at an epoch's end joins the batch before: batch norm needs two
    bool drop_last = false;  // leave out what does not fill an epoch's last batch
    Schedule schedule = constant();  // of the learning rate: factors of Optimizer::lr
    uint64_t seed = 0;    // of the order of images, augmentation and dropout
    int workers = 1;      // threads that prepare batches

    Task task = classification();
    Loss loss{};  // to train with, not the task's: cross_entropy({.label_smoothing = 0.1}), distill(teacher), …
    Step step = plain_step();
    double clip_norm = 0;  // greatest L2 norm of all gradients together; 0: any
    double clip_value = 0; // greatest magnitude of a gradient's element; 0: any
    double ema = 0;  // decay of the moving average of weights; 0: none. The run ends with the averages in the module
    bool recompute_activations = false;  // less memory for about a third more compute, the same bits (nn::Recomputed)
    std::vector<StepHook*> hooks{};  // called in order
    int64_t patience = 0;  // stop after so many epochs without a better validation result; 0: never

    std::string out{};     // folder for last.safetensors, best.safetensors and log.csv; empty: nothing is written
    bool resume = false;   // go on from OUT/last.safetensors

    std::function<void(const BatchReport&)> on_batch{};
    std::function<void(const EpochReport&)> on_epoch{};  // after its checkpoint was written
};

// What a run did. `epochs` has one entry for each finished epoch, those before a resume included.
struct History {
    std::vector<EpochReport> epochs;
    enum class End { finished, early, stopped } end = End::finished;  // early: patience ran out; stopped: request_stop
    size_t candidates = 0;  // the first epoch that may be the best, from 0 (StepHook::settled)
    // From 0: of the best validation result among those; the last one while none may be the best
    size_t best_epoch = 0;

    const EpochReport& best() const;  // Error: no epoch is finished
};

// Trains a network. The same seed gives the same weights bit for bit, for any number of threads, also when the run is
// stopped at any step and resumed.
//
//     optim::Trainer trainer(model, optim::sgd({.lr = 0.1, .momentum = 0.9, .weight_decay = 5e-4}));
//     trainer.fit(train, validation, {.epochs = 30, .schedule = optim::cosine({.warmup = 1})});
class Trainer {
public:
    Trainer(nn::Module& module, std::unique_ptr<Optimizer> optimizer);

    // Trains on one dataset and says after each epoch what comes of the other, by which the best epoch is chosen.
    // A module that is an nn::Model takes over the training set's class names and normalisation and is written as a
    // whole model, any other as its named weights. Error: options out of range; the loss or a weight is no longer
    // finite (the last good checkpoint stays); a checkpoint of another model or run; a file that cannot be written.
    History fit(const data::Dataset& train, const data::Dataset& validation, const FitOptions& options = {});

    // Ends fit after the step under way, with a checkpoint. May be called from signal handlers and other threads.
    void request_stop() noexcept { stop_ = true; }

    nn::Module& module() { return module_; }
    Optimizer& optimizer() { return *optimizer_; }

private:
    nn::Module& module_;
    std::unique_ptr<Optimizer> optimizer_;
    std::atomic<bool> stop_{false};
    static_assert(std::atomic<bool>::is_always_lock_free);
};

}  // namespace lathe::optim
