#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lathe/nn/model.h"

namespace lathe::nn {

// What a file says of a network beside what it does (nn/files/model_file.h lists the entries).
struct Description {
    std::string architecture{};
    ModelOptions options{};
    std::vector<std::string> class_names{};
    InputScaling scaling{};
    std::map<std::string, std::string> metadata{};  // further texts
};

Description description_of(const Model& model);
// Adds it to a file's metadata. Error: what reading would refuse.
void write_description(const Description& description, std::map<std::string, std::string>& metadata);
// Error: an entry that is missing or damaged.
Description read_description(const std::map<std::string, std::string>& metadata);

// The entry of that name. Error: there is none.
const std::string& metadata_entry(const std::map<std::string, std::string>& metadata, const std::string& key);

// Runs f; its errors then begin with the file's name and stay on one line, whatever texts of the file they quote.
void reading_file(const std::string& file, const std::function<void()>& f);

}  // namespace lathe::nn
