#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "lathe/data/open.h"
#include "lathe/nn/model.h"

namespace lathe::tools {

// Where a network comes from: a file, which has a scaling and a size of its own, an arch or a description, which state
// a size, or the name of a network that takes many sizes.
enum class Origin { saved, stated, named };

// How a network wants its images.
struct ImageForm {
    Shape size{};                               // {height, width, channels}; none: as the data has them
    bool flat = false;                          // as rows of features
    bool reconstructs = false;                  // it has no classes: the output is to be like the input
    const nn::InputScaling* scaling = nullptr;  // none: the data's usual one
};

// The options by which every command names its images: --data, --data-root, --mean, --std, --workers, --skip-damaged.
struct DataOptions {
    std::string data;
    std::string root;
    std::string mean = "auto", std = "auto";
    int workers = 1;
    bool skip_damaged = false;

    void add_to(CLI::App& command);
    bool is_folder() const { return data.rfind("folder:", 0) == 0; }

    // One split, augmented as in "crop:4,flip". Normalised as the options say, else as the form does.
    data::Dataset open(data::Split split, const ImageForm& form, const std::string& augment = "none") const;
    // Likewise, from what is open already.
    data::Dataset open(data::Collection& images, data::Split split, const ImageForm& form,
                       const std::string& augment = "none") const;
    // As a saved network wants them, labels included (tools::labelled_for).
    data::Dataset open(data::Split split, const nn::Model& model, const std::string& augment = "none") const;

    // The images of a folder that cannot be read, in order, for Dataset::without; all images are read for it. Lists
    // them on standard error. Error: there are some, and no --skip-damaged.
    std::vector<int64_t> damaged(const data::Dataset& images) const;

    // The form for a network. `input` is the size that images are scaled to, behind their augmentation, or in front of
    // it in folders; "auto" is the network's own, but for a named one the data's, unless that is a folder.
    ImageForm form(const nn::Model& network, Origin from, const std::string& input = "auto") const;
};

// "32x32x3" -> {32, 32, 3}, "640" -> {640}. Error: neither form.
Shape parse_input(const std::string& text);

}  // namespace lathe::tools
