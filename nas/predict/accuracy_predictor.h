#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lathe/nas/predict/accuracy_table.h"
#include "lathe/nn/model.h"
#include "lathe/nn/run/inference.h"
#include "lathe/optim/trainer.h"

namespace lathe::nas {

struct PredictorOptions {
    int64_t hidden = 400, layers = 3;  // features of the hidden layers, and how many of these there are
};

// Tells the accuracy of a subnet without running it: a network of linear layers and ReLUs from features() to one
// number, to which the mean accuracy of its table is added (Cai et al. 2020, arXiv 1908.09791; the course lab's is the
// default).
class AccuracyPredictor {
public:
    // One that is not trained. seen: the choices that its table has; base: its mean accuracy.
    AccuracyPredictor(const Space& space, const Choices& seen, double base, const PredictorOptions& options = {});

    // Shares, 0 to 1, the same for any number of threads. Error: an arch is none of the space.
    std::vector<double> operator()(std::span<const Arch> archs) const;
    Tensor operator()(const Tensor& features) const;  // [n, feature_count] -> [n, 1]

    const Space& space() const { return space_; }
    // The space without what the table never had: there the answers mean nothing, for the weights of a feature that was
    // always zero are still the random ones. The lab's searches go there: its table has no width index 2.
    Space seen() const;
    nn::Model& network() { return *network_; }  // to train; then call ready()
    void ready();                               // prepares the weights as they are to run

    // One safetensors file, as of any model. Error: as nn::load, or the file is no predictor.
    void save(const std::string& path) const;
    static AccuracyPredictor load(const std::string& path);

private:
    AccuracyPredictor(const Space& space, std::unique_ptr<nn::Model> network, const std::string& path);

    Space space_;
    Choices seen_;
    std::unique_ptr<nn::Model> network_;
    std::unique_ptr<nn::Inference> inference_;
};

struct PredictorTraining {
    PredictorOptions network{};
    double hold_out = 0.2;  // share of the table, drawn at random, that it is measured on
    int64_t epochs = 10, batch = 256;
    double lr = 1e-3;       // of Adam
    optim::Schedule schedule = optim::constant();
    uint64_t seed = 0;      // of the split, the first weights and the order of rows
    std::function<void(const optim::BatchReport&)> on_batch{};
};

// The rows that a predictor is not trained on, in the order of its report. Error: a share outside (0, 1), or fewer than
// 2 rows to train with or to measure with.
AccuracyTable held_out(const AccuracyTable& table, const PredictorTraining& training);

// How good a predictor is on all of the rows that it was not trained on.
struct PredictorReport {
    size_t trained_on = 0;
    std::vector<double> measured, predicted;  // shares, row by row
    std::vector<double> mae;                  // mean absolute error after each epoch
    double mean_mae = 0;                      // of answering the mean of the training rows to all
    double rmse = 0, kendall = 0, spearman = 0;
    double seconds = 0;                       // of training

    std::string str() const;
};

struct TrainedPredictor {
    AccuracyPredictor predictor;
    PredictorReport report;
};

// Trains one on a table by the mean absolute error. Error: options out of range, too few rows.
TrainedPredictor train_predictor(const Space& space, const AccuracyTable& table,
                                 const PredictorTraining& training = {});

}  // namespace lathe::nas
