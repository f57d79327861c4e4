#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace lathe::optim {

// Where in a run a step is. All counts from 0.
struct Position {
    int64_t step = 0;             // since the beginning of the run
    int64_t steps_per_epoch = 1;
    int64_t epochs = 1;           // of the whole run

    double epoch() const { return static_cast<double>(step) / static_cast<double>(steps_per_epoch); }
};

// The learning rate over a run as a factor of the optimizer's. A pure function of the position, so a resumed run goes
// on exactly. During the first `warmup` epochs the factor rises linearly to the one where the curve starts.
struct Schedule {
    std::string text;   // how it is spelled: parse_schedule(text) gives it back
    double warmup = 0;  // epochs
    std::function<double(const Position&)> curve;
    int64_t restart = 0;  // epochs after which all begins anew; 0: never

    double operator()(const Position& at) const;
};

struct ConstantOptions {
    double warmup = 0;
};
Schedule constant(const ConstantOptions& options = {});

// Times gamma after every `every` epochs.
struct StepOptions {
    int64_t every = 30;
    double gamma = 0.1;
    double warmup = 0;
};
Schedule step_decay(const StepOptions& options = {});

// Times gamma after each of the epochs named.
struct MultiStepOptions {
    std::vector<int64_t> epochs{};
    double gamma = 0.1;
    double warmup = 0;
};
Schedule multi_step(const MultiStepOptions& options);

// Falls from 1 to `floor` along half a cosine, over what follows the warm-up (Loshchilov and Hutter, "SGDR", arXiv
// 1608.03983).
struct CosineOptions {
    double floor = 0;
    double warmup = 0;
};
Schedule cosine(const CosineOptions& options = {});

// Rises along a cosine from 1/25 to 1 during the share `rise` of the run, then falls to 1/250,000 (Smith and Topin,
// "Super-convergence", arXiv 1708.07120; PyTorch's OneCycleLR).
struct OneCycleOptions {
    double rise = 0.3;
    double warmup = 0;
};
Schedule one_cycle(const OneCycleOptions& options = {});

// Begins anew every so many epochs, each time as if the run had no more (Loshchilov and Hutter's warm restarts; the
// rounds of iterative pruning). Error: fewer than 1.
Schedule restarted(Schedule schedule, int64_t epochs);

// From "constant", "step:30:0.1", "multi-step:60,120,160:0.2", "cosine", "cosine:0.01" (floor), "one-cycle",
// "one-cycle:0.3" (rise), each with "+warmup:EPOCHS" and "+restart:EPOCHS" after it if wanted. Numbers may be left out
// from the end: they have defaults. Error: an unknown name, a number that is none or out of range.
Schedule parse_schedule(const std::string& text);

}  // namespace lathe::optim
