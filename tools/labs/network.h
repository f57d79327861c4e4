#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "lathe/data/dataset.h"
#include "lathe/nas/train/strategy.h"
#include "lathe/nn/model.h"
#include "lathe/optim/trainer.h"
#include "lathe/tools/data_options.h"

// The network that a lab works on: its options, its images, how it is trained, how its weights are drawn.
namespace lathe::tools {

struct NetworkOptions {
    std::string model, out;
    DataOptions data;
    int64_t train_epochs = 4, epochs = 5, scan_images = 2000, limit = 0;

    explicit NetworkOptions(const std::string& folder) : out(folder) { data.data = "shapes"; }
    void add_to(CLI::App& app);
};

struct Lab {
    std::string model, out;  // the trained network's file; the folder of what the lab makes
    int64_t epochs;          // of each fine-tuning
    data::Dataset train, held_out, test;  // fine-tuning; what is tried, taken out of the training images; the result

    double accuracy(nn::Module& module) const;  // on the test images, in percent
};

// The network named, else one of the course's own shape and an eighth of its width, trained here the first time. Says
// which, what images it has, and its accuracy.
struct OpenedLab {
    Lab lab;
    std::unique_ptr<nn::Model> dense;
    double accuracy;
};
OpenedLab open_lab(const NetworkOptions& o);

// Trains with a bar for the epoch under way and a line for each that is over; a supernet by a strategy.
optim::History train(nn::Module& model, std::unique_ptr<optim::Optimizer> optimizer, optim::Schedule schedule,
                     int64_t epochs, int64_t batch, const data::Dataset& train, const data::Dataset& test,
                     nas::Strategy* strategy = nullptr);

// How numbers are distributed: so many bins between -limit and limit (0: the greatest magnitude). Levels are drawn as
// lines.
struct Histogram {
    std::string title;
    Tensor values;
    int bins = 64;
    double limit = 0;
    std::vector<float> levels{};
};
// Three in a row.
void draw_histograms(const std::string& folder, const char* name, const std::vector<Histogram>& histograms);
// Of the weights that are not zero of each layer.
std::vector<Histogram> weight_histograms(nn::Module& model);

}  // namespace lathe::tools
