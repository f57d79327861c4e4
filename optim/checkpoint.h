#pragma once
#include <map>
#include <string>
#include <vector>

#include "lathe/nn/module.h"
#include "lathe/optim/ema.h"
#include "lathe/optim/task.h"

namespace lathe::optim {

// One finished epoch.
struct EpochReport {
    int64_t epoch = 0;  // from 1
    Result train;       // over the epoch, while the weights changed
    Result validation;  // after it
    double lr = 0;                   // of the last step
    double seconds = 0;              // of training, without the validation
    double examples_per_second = 0;
    double wait = 0;                 // share of the seconds spent waiting for data
};

// Where a run stands between two steps.
struct Progress {
    std::vector<EpochReport> epochs;  // the finished ones
    // Of the epoch under way:
    int64_t batches = 0;
    Tally train;
    double seconds = 0, waited = 0;
};

// The settings that a resumed run must share with its beginning, by name ("batch" -> "128").
using RunSettings = std::map<std::string, std::string>;

// Everything that a run needs to go on as if it had never stopped: the model (whole when it is an nn::Model), the
// optimizer's state and the averaged weights under "optim.", progress and settings in the metadata. Replaces the file
// or leaves it alone. Error: a parameter that is not finite.
void save_checkpoint(const std::string& path, nn::Module& module, const Ema* ema, const Progress& progress,
                     const RunSettings& settings);
// Error: no file, none of this model, without optimizer state, or settings that differ.
Progress load_checkpoint(const std::string& path, nn::Module& module, Ema* ema, const RunSettings& settings);

// The weights alone, and what makes them a whole model when the module is an nn::Model.
void save_weights(const std::string& path, nn::Module& module);

// One line for each epoch below a line of column names.
void write_log(const std::string& path, const std::vector<EpochReport>& epochs);

}  // namespace lathe::optim
