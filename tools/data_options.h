#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "lathe/data/dataset.h"
#include "lathe/nn/model.h"

namespace lathe::tools {

// The options by which every command names its images: --data, --data-root, --mean, --std, --workers.
struct DataOptions {
    std::string data;
    std::string root;
    std::string mean = "auto", std = "auto";
    int workers = 1;

    void add_to(CLI::App& command);
    bool is_folder() const { return data.rfind("folder:", 0) == 0; }

    // One split, augmented as in "crop:4,flip"; the images of folders are brought to the height and width of `size`.
    // Normalised as the options say, else by `scaling` when a model brings one, else by the data set's usual statistics.
    data::Dataset open(data::Split split, const Shape& size, const nn::InputScaling* scaling = nullptr,
                       const std::string& augment = "none") const;
};

// "32x32x3" -> {32, 32, 3}, "640" -> {640}. Error: neither form.
Shape parse_input(const std::string& text);

}  // namespace lathe::tools
