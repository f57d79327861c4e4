#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "lathe/optim/evaluate.h"
#include "lathe/tools/data_options.h"

namespace lathe::tools {

// The images of a command that trains.
struct TrainingData {
    data::Dataset train;                // augmented
    data::Dataset plain;                // the same images as they are
    data::Dataset validation;           // chooses the best epoch
    std::optional<data::Dataset> test;  // to be measured once, at the end; none: the validation images stand for it
    std::string note;                   // where the validation images come from

    const data::Dataset& final() const { return test ? *test : validation; }
    void label_for(const nn::Model& model);  // tools::labelled_for, all of them
    std::string describe() const;  // a line each
};

// The options by which these commands name them: DataOptions', --augment, --limit and --validation.
struct TrainingDataOptions : DataOptions {
    std::string augment = "auto";
    int64_t limit = 0;
    double validation = 0.1;

    void add_to(CLI::App& command);
    // As DataOptions::open; the seed chooses the images held out.
    TrainingData open(const ImageForm& form, uint64_t seed) const;
};

}  // namespace lathe::tools
