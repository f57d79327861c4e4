#pragma once
#include <functional>
#include <string>
#include <vector>

#include "lathe/optim/loss.h"

namespace lathe::optim {

// A number that tells how good outputs are, beside the loss.
struct Metric {
    std::string name;       // "accuracy"
    double value = 0;
    std::string unit = {};  // "%", or none

    std::string str() const;  // "accuracy 99.53%"
};

// What came of some examples: the mean loss and the metrics of their task.
struct Result {
    double loss = 0;
    std::vector<Metric> metrics{};

    double operator[](const std::string& metric) const;  // Error: there is none of this name
    std::string str() const;                             // "loss 0.0265  accuracy 99.53%"
};

// What has been added up over batches, of which a Result is made. Numbers only, so that a checkpoint can keep them.
struct Tally {
    int64_t examples = 0;
    double loss = 0;             // sum over the examples
    std::vector<double> sums{};  // the task's own
};

// What a network is trained to do: the loss, what is measured beside it, and which of two results is better.
struct Task {
    std::string name;  // "classification"
    Loss loss;         // of evaluation; of training, too, unless FitOptions has another
    // Adds a batch to Tally::sums (empty at first), and makes the metrics of what is there. None: the loss alone.
    std::function<void(const Tensor& output, const data::Batch& batch, std::vector<double>& sums)> count{};
    std::function<std::vector<Metric>(const Tally& tally)> metrics{};
    std::string decides{};  // the metric whose greater value is better, where it is equal the smaller loss; none: the
                            // loss alone

    void add(Tally& tally, const Tensor& output, const data::Batch& batch, double loss) const;
    Result result(const Tally& tally) const;
    bool better(const Result& a, const Result& b) const;
};

// Logits [N, K] and labels i32 [N]: cross entropy; accuracy (top-1, in percent) decides.
Task classification();

// Outputs and targets of one shape: the mean squared error decides; "mae", the mean absolute error, is shown beside it.
Task regression();

// Outputs like the inputs (an autoencoder's): the mean squared error decides.
// With `normal`, labels i32 [N] as targets say which class each input is of, those of `normal` or any other: then "auc"
// tells how well the error of an input parts the normal ones from the others (area_under_roc), where there are both.
struct ReconstructionOptions {
    std::vector<int64_t> normal{};
};
Task reconstruction(const ReconstructionOptions& options = {});

// Logits [N, T, V] for each of T places and targets i32 [N, T], such as the tokens that follow: cross entropy per token
// decides; "perplexity" is its exponential, "token accuracy" in percent.
Task sequences();

// The probability that a positive's score is above a negative's, the same score counting half: the area under the curve
// of true positives over false positives (Fawcett, "An introduction to ROC analysis", 2006). Error: no positive or no
// negative.
double area_under_roc(const std::vector<double>& scores, const std::vector<bool>& positive);

// The column of the greatest element along the last axis of logits [.., K], row by row; the first of equals.
std::vector<int64_t> predictions(const Tensor& logits);

}  // namespace lathe::optim
