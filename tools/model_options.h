#pragma once
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "lathe/nn/model.h"
#include "lathe/tools/data_options.h"
#include "lathe/tools/saved.h"

namespace lathe::tools {

// The options by which commands name a network: a saved file, or a network of the zoo with weights of its own or none.
// How a network is described in a .json file, for the end of a command's help.
const char* description_help();
// The network of a name, to learn what it takes and gives; a described one that leaves its classes open gets two.
std::unique_ptr<nn::Model> sample_of(const std::string& name, const std::string& arch = {});
// How a saved network wants its images, or, if there is none, the one of that name (DataOptions::form).
ImageForm form_of(const DataOptions& data, const nn::Model* saved, const std::string& name, const std::string& arch,
                  const std::string& input);
std::string model_help();  // of an option that names a new network
void add_arch(CLI::App& command, std::string& arch);  // --arch

struct ModelOptions {
    std::string model;    // file or name
    std::string weights, arch;
    double width = 1.0;
    std::vector<int64_t> widths;
    int64_t classes = 0;

    void add_to(CLI::App& command);
    bool is_file() const;
    // The file. Error: there is none, or options of a network by name beside it.
    Saved open() const;
    // `usual` gives classes and input where the options do not. Error: neither a file nor a network's name, or a file
    // and options of a network by name, or an integer program.
    std::unique_ptr<nn::Model> make(nn::ModelOptions usual = {}) const;
};

}  // namespace lathe::tools
