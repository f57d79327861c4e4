#pragma once
#include <functional>
#include <vector>

#include "lathe/data/dataset.h"
#include "lathe/nn/run/inference.h"

namespace lathe::optim {

// What a classifier made of labelled images.
struct Evaluation {
    int64_t correct = 0, total = 0;
    double loss = 0;  // mean cross entropy

    struct Count {
        int64_t correct = 0, total = 0;
    };
    std::vector<Count> classes;  // of each label

    double top1() const { return total ? 100.0 * static_cast<double>(correct) / static_cast<double>(total) : 0; }  // percent
};

struct EvaluateOptions {
    int64_t batch = 128;
    int workers = 1;                                          // threads that read ahead
    std::function<bool(int64_t done, int64_t total)> go_on{};  // asked after every batch, in images; false ends it early
};

// Runs a classifier over the dataset: a module in evaluation mode, or one made ready to run, which is faster.
// Error: its output is not [N, classes] for all labels.
Evaluation evaluate(nn::Module& module, const data::Dataset& dataset, const EvaluateOptions& options = {});
Evaluation evaluate(const nn::Inference& inference, const data::Dataset& dataset, const EvaluateOptions& options = {});

// The column of the greatest element of each row of logits [N, classes]; the first of equals.
std::vector<int64_t> predictions(const Tensor& logits);

}  // namespace lathe::optim
