#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "lathe/compress/budget/sensitivity.h"
#include "lathe/compress/budget/size.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/tools/run_folder.h"
#include "lathe/tools/training_data.h"
#include "lathe/tools/training_options.h"

namespace lathe::tools {

// Of a command that makes a trained model smaller, trains what is left, and writes it.
struct CompressionOptions {
    std::string model;
    TrainingDataOptions data;
    int64_t finetune = 0;
    double distill = 0, temperature = 4;
    TrainingOptions training;
    RunFolder out;

    void add_model_to(CLI::App& command);
    // `file`: the name of what it writes; `finetune`: what the option of the epochs is called.
    void add_training_to(CLI::App& command, const std::string& file, const std::string& finetune = "--finetune");
    // Before anything else. Error: no model or data, options of training without any.
    void enter(CLI::App& command);
};

// The model and its images. Error: as DataOptions::open, other classes.
struct Opened {
    std::unique_ptr<nn::Model> model;
    TrainingData data;
};
Opened open(const CompressionOptions& o, const std::string& command);

double accuracy(nn::Module& model, const data::Dataset& images, const CompressionOptions& o);

// So many of the training images, to choose by: they are not trained on. Error: all of them.
data::Dataset hold_out(TrainingData& data, int64_t images, uint64_t seed, const std::string& command);
// A scan on all of them, shown as it goes on and kept in OUT/scan.json.
compress::Sensitivity scan_held_out(const CompressionOptions& o, nn::Module& model, const data::Dataset& held_out,
                                    compress::ScanOptions scan);
constexpr const char* kLatencyFile = "latency.json";  // in the run's folder, for --resume

// What became of a model before it is trained.
struct Before {
    std::string command, from, how;  // "prune", "dense", "pruned"
    double given;     // accuracy on the validation images
    double now = -1;  // the same; negative: it becomes so while it trains
    compress::SizeReport::Entry size;
};
Before measure(const std::string& command, const std::string& from, const std::string& how, nn::Model& model,
               const data::Dataset& validation, const CompressionOptions& o);

// How its training differs from the usual one.
struct Training {
    optim::StepHook* hook = nullptr;
    int64_t rounds = 1;  // runs of their own, for the learning rate
};

// Trains what is left of the model and gives it its best weights. False when it was stopped.
bool train(CompressionOptions& o, nn::Model& model, const TrainingData& data, const Before& before,
           const Training& training = {});
// Writes the model to OUT/HOW.safetensors, or with Weights::huffman packed to OUT/HOW.safetensors.gz, and says what
// became of it. The test images are looked at here, once.
void write(const CompressionOptions& o, nn::Model& model, const TrainingData& data, const Before& before,
           nn::Weights weights);
// Both, unless it was stopped.
void finish(CompressionOptions& o, nn::Model& model, const TrainingData& data, const Before& before,
            nn::Weights weights, const Training& training = {});

// "conv1=0.5" -> {"conv1", 0.5}. Error: anything else; `option` and `example` are told.
std::pair<std::string, double> parse_layer(const std::string& text, const char* option, const char* example);

}  // namespace lathe::tools
