#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "lathe/nas/elastic/compressed_subnet.h"
#include "lathe/tools/training_data.h"

namespace lathe::tools {

// A trained supernet and the images that its subnets are measured on. They are split as in training, so that those held
// out then stay so.
struct SupernetOptions {
    std::string file, space;  // space: its own (as none) or its joint one
    int64_t calibration = 2000;
    uint64_t seed = 0;        // of the split
    TrainingDataOptions data{};

    void add_to(CLI::App& command, bool required);  // all but the space

    struct Opened {
        std::unique_ptr<nas::SpaceSupernet> net;
        TrainingData data;
        nas::Space space;
        data::Dataset calibration;

        // As it is to be measured: one of a joint space compressed, without training.
        std::unique_ptr<nn::Model> subnet(const nas::Arch& arch) const;
    };
    Opened open() const;
};

// A new one for such images, to be trained.
std::unique_ptr<nas::SpaceSupernet> new_supernet(const nas::Space& space, const TrainingData& data, int64_t calibration,
                                                 uint64_t seed);

void add_calibration(CLI::App& command, int64_t& images);

// A subnet as a network of its own on images of any size.
optim::Evaluation evaluate_subnet(nn::Model& model, const data::Dataset& images, int workers);

}  // namespace lathe::tools
