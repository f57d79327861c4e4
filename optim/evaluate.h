#pragma once
#include <functional>
#include <vector>

#include "lathe/data/dataset.h"
#include "lathe/nn/run/inference.h"
#include "lathe/optim/task.h"

namespace lathe::optim {

// What came of a dataset.
struct Evaluation : Result {
    Tally tally{};  // what it was computed from

    // Of classification: how many of each label were found.
    struct Count {
        int64_t correct = 0, total = 0;
    };
    std::vector<Count> classes() const;
};

struct EvaluateOptions {
    Task task = classification();
    int64_t batch = 128;
    int workers = 1;                                           // threads that read ahead
    // Asked after every batch, in examples; false ends it early
    std::function<bool(int64_t done, int64_t total)> go_on{};
    std::function<void(const Tensor& output)> on_output{};  // shown what came of each batch, in order
};

// Runs a network over the dataset: a module in evaluation mode, or one made ready to run, which is faster, whatever it
// is made of.
// Error: its output is not what the task expects, or makes a loss that is not finite.
Evaluation evaluate(nn::Module& module, const data::Dataset& dataset, const EvaluateOptions& options = {});
Evaluation evaluate(const nn::Inference& inference, const data::Dataset& dataset, const EvaluateOptions& options = {});
Evaluation evaluate(const std::function<Tensor(const Tensor& x)>& run, const data::Dataset& dataset,
                    const EvaluateOptions& options = {});

}  // namespace lathe::optim
