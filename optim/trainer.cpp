#include "lathe/optim/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>

#include "lathe/core/files/file.h"
#include "lathe/core/random.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/run/recomputed.h"
#include "lathe/nn/model.h"

namespace lathe::optim {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// Each step draws from a generator of its own, so what it draws follows from the seed and the step alone and needs no
// place in checkpoints. After the run the generator goes on where it was.
constexpr uint64_t kSteps = 1;  // keeps the steps' generators apart from those of the loader's epochs

void check_options(const FitOptions& o) {
    check(o.epochs >= 1, "fit: expected at least 1 epoch, got ", o.epochs);
    check(o.clip_norm >= 0 && o.clip_value >= 0, "fit: expected limits of gradients of 0 or more, got ", o.clip_norm,
          " and ", o.clip_value);
    check(o.patience >= 0, "fit: expected a patience of 0 epochs or more, got ", o.patience);
    check(!o.resume || !o.out.empty(), "fit: to resume, expected the folder of the run, got none");
}

// "54000 (9f3c01a2)": how many examples, and which.
std::string identity(const data::Dataset& examples) {
    return format("%lld (%08x)", static_cast<long long>(examples.size()),
                  static_cast<unsigned>(examples.fingerprint()));
}

// What a user of the trained model needs to run it on images.
void describe_images(nn::Module& module, const data::Dataset& train) {
    auto* model = dynamic_cast<nn::Model*>(&module);
    if (!model || model->classes() != static_cast<int64_t>(train.classes().size())) return;
    model->class_names = train.classes();
    model->scaling = {.mean = train.normalization().mean, .std = train.normalization().std};
}

// A request to stop goes with the run that it ended, however that ended.
struct Forget {
    std::atomic<bool>& stop;
    ~Forget() { stop = false; }
};

// One call of fit.
class Run {
public:
    Run(nn::Module& module, Optimizer& optimizer, const data::Dataset& train, const data::Dataset& validation,
        const FitOptions& options, const std::atomic<bool>& stop)
        : module_(module),
          optimizer_(optimizer),
          options_(options),
          stop_(stop),
          validation_(validation),
          loader_(train, {.batch = options.batch,
                          .shuffle = true,
                          .drop_last = options.drop_last,
                          .join_one = true,
                          .seed = options.seed,
                          .workers = options.workers}),
          train_identity_(identity(train)),
          validation_identity_(identity(validation)),
          loss_(options.loss ? options.loss : options.task.loss) {
        if (options.ema != 0) ema_.emplace(module, options.ema);
    }

    History go() {
        begin();
        History history;
        history.end = epochs();
        history.epochs = progress_.epochs;
        history.candidates = candidates();
        history.best_epoch = best_epoch();
        if (ema_) ema_->swap();
        return history;
    }

private:
    std::string file(const char* name) const { return options_.out + "/" + name; }
    Ema* ema() { return ema_ ? &*ema_ : nullptr; }
    int64_t epoch() const { return static_cast<int64_t>(progress_.epochs.size()); }
    int64_t steps() const { return epoch() * loader_.batches() + progress_.batches; }  // done so far

    Position at(int64_t step) const {
        return {.step = step, .steps_per_epoch = loader_.batches(), .epochs = options_.epochs};
    }
    double rate(int64_t step) const { return options_.schedule(at(step)); }

    bool settled(size_t epoch) const {  // at its end
        const Position end = at((static_cast<int64_t>(epoch) + 1) * loader_.batches());
        return std::all_of(options_.hooks.begin(), options_.hooks.end(),
                           [&](const StepHook* hook) { return hook->settled(end); });
    }
    size_t candidates() const {  // the first epoch that may be the best
        size_t epoch = 0;
        while (epoch < progress_.epochs.size() && !settled(epoch)) ++epoch;
        return epoch;
    }

    // The last one while none may be the best.
    size_t best_epoch() const {
        const std::vector<EpochReport>& epochs = progress_.epochs;
        const size_t first = candidates();
        if (epochs.empty() || first >= epochs.size()) return epochs.empty() ? 0 : epochs.size() - 1;
        size_t best = first;
        for (size_t i = first + 1; i < epochs.size(); ++i)
            if (options_.task.better(epochs[i].validation, epochs[best].validation)) best = i;
        return best;
    }

    RunSettings settings() const {
        RunSettings settings{{"task", options_.task.name},
                             {"optimizer", optimizer_.name()},
                             {"seed", std::to_string(options_.seed)},
                             {"batch", std::to_string(options_.batch) + (options_.drop_last ? ", full" : "")},
                             {"training examples", train_identity_},
                             {"validation examples", validation_identity_},
                             {"ema", concatenated(options_.ema)}};
        for (const StepHook* hook : options_.hooks) settings.merge(hook->settings());
        return settings;
    }

    void begin() {
        module_.zero_grad();
        if (options_.out.empty()) return;
        if (options_.resume) {
            progress_ = load_checkpoint(file("last.safetensors"), module_, ema(), settings());
            return;
        }
        make_folder(options_.out);
        std::error_code error;
        std::filesystem::remove(file("best.safetensors"), error);  // of an earlier run
        save();  // a folder that cannot be written is found now, and a run that is killed early can be resumed
    }

    History::End epochs() {
        while (epoch() < options_.epochs) {
            const int64_t since_best = epoch() - 1 - static_cast<int64_t>(best_epoch());
            if (options_.patience > 0 && since_best >= options_.patience) return History::End::early;
            if (!train() || !finish_epoch()) {
                save();
                return History::End::stopped;
            }
        }
        return History::End::finished;
    }

    // What is left of the epoch's training; false when it was stopped.
    bool train() {
        loader_.start(epoch(), progress_.batches);
        data::Batch batch;
        while (progress_.batches < loader_.batches()) {
            if (stop_) return false;
            const auto begin = Clock::now();
            loader_.next(batch);
            progress_.waited += seconds_since(begin);
            step(batch);
            progress_.seconds += seconds_since(begin);
            report(progress_.batches, loader_.batches(), false);
        }
        return true;
    }

    Variable forward(const data::Batch& batch) {
        if (!options_.recompute_activations)
            return module_(std::vector<Variable>(batch.inputs.begin(), batch.inputs.end()));
        if (!recomputed_) recomputed_.emplace(module_, batch.input());
        return (*recomputed_)(batch.input());
    }

    void step(const data::Batch& batch) {
        seed(mix(options_.seed, static_cast<uint64_t>(steps()), kSteps));
        for (StepHook* hook : options_.hooks) hook->before_step(at(steps()));
        const StepResult result =
            options_.step([this](const data::Batch& some) { return forward(some); }, loss_, batch);
        check(std::isfinite(result.loss), "training: the loss is ", result.loss, " at epoch ", epoch() + 1, ", step ",
              progress_.batches + 1, " of ", loader_.batches(), last_good());
        for (StepHook* hook : options_.hooks) hook->before_update(at(steps()));
        if (options_.clip_value > 0) clip_gradient_value(module_, options_.clip_value);
        if (options_.clip_norm > 0) clip_gradient_norm(module_, options_.clip_norm);
        optimizer_.step(module_, rate(steps()));
        module_.zero_grad();
        if (ema_) ema_->update(steps());
        options_.task.add(progress_.train, result.output, batch, result.loss);
        ++progress_.batches;
    }

    // The validation and all that ends an epoch; false when it was stopped, and then resuming repeats the validation.
    bool finish_epoch() {
        {
            const EmaScope averaged(ema());
            const std::string validation = concatenated("validation after epoch ", epoch() + 1, last_good());
            const PathScope scope(validation);
            const Evaluation result = evaluate(module_, validation_, validating());
            if (result.tally.examples < validation_.size()) return false;
            add(result);
            const bool best = best_epoch() + 1 == progress_.epochs.size();
            if (best && !options_.out.empty()) save_weights(file("best.safetensors"), module_);
        }
        save();
        if (options_.on_epoch) options_.on_epoch(progress_.epochs.back());
        return true;
    }

    EvaluateOptions validating() {
        const auto go_on = [this](int64_t done, int64_t total) {
            report((done + options_.batch - 1) / options_.batch, (total + options_.batch - 1) / options_.batch, true);
            return !stop_;
        };
        return {.task = options_.task, .batch = options_.batch, .workers = options_.workers, .go_on = go_on};
    }

    // Closes the books of the epoch.
    void add(const Result& validation) {
        const EpochReport report{
            .epoch = epoch() + 1,
            .train = options_.task.result(progress_.train),
            .validation = validation,
            .lr = optimizer_.lr * rate(steps() - 1),
            .seconds = progress_.seconds,
            .examples_per_second = static_cast<double>(progress_.train.examples) / progress_.seconds,
            .wait = progress_.waited / progress_.seconds,
        };
        Progress next;
        next.epochs = std::move(progress_.epochs);
        next.epochs.push_back(report);
        progress_ = std::move(next);
    }

    void report(int64_t batch, int64_t batches, bool validating) const {
        if (!options_.on_batch) return;
        options_.on_batch({
            .epoch = epoch() + 1,
            .epochs = options_.epochs,
            .batch = batch,
            .batches = batches,
            .train = options_.task.result(progress_.train),
            .lr = optimizer_.lr * rate(steps() - 1),
            .examples_per_second = static_cast<double>(progress_.train.examples) / progress_.seconds,
            .wait = progress_.waited / progress_.seconds,
            .validating = validating,
        });
    }

    // The checkpoint comes last: what the other files say beyond it is written again, the same, after resuming.
    void save() {
        if (options_.out.empty()) return;
        write_log(file("log.csv"), progress_.epochs);
        save_checkpoint(file("last.safetensors"), module_, ema(), progress_, settings());
    }

    std::string last_good() const {
        if (options_.out.empty() || progress_.epochs.empty()) return "";
        return "; the last good checkpoint is " + file("last.safetensors");
    }

    nn::Module& module_;
    Optimizer& optimizer_;
    const FitOptions& options_;
    const std::atomic<bool>& stop_;
    const data::Dataset& validation_;
    data::Loader loader_;
    const std::string train_identity_, validation_identity_;
    const Loss loss_;
    std::optional<nn::Recomputed> recomputed_;
    std::optional<Ema> ema_;
    Progress progress_;
};

}  // namespace

const EpochReport& History::best() const {
    check(!epochs.empty(), "history: no epoch is finished");
    return epochs[best_epoch];
}

Trainer::Trainer(nn::Module& module, std::unique_ptr<Optimizer> optimizer)
    : module_(module), optimizer_(std::move(optimizer)) {}

History Trainer::fit(const data::Dataset& train, const data::Dataset& validation, const FitOptions& options) {
    const Forget forget{stop_};
    check_options(options);
    check(validation.size() > 0, "fit: expected examples to validate on, got none");
    const KeepGlobalRandom keep_random;
    const nn::ModeScope mode(module_, true);
    describe_images(module_, train);
    return Run(module_, *optimizer_, train, validation, options, stop_).go();
}

}  // namespace lathe::optim
