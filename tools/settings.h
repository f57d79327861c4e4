#pragma once
#include <CLI/CLI.hpp>
#include <set>
#include <string>

namespace lathe::tools {

// Every option of a command as the text of a JSON object, defaults included: {"model": "lenet5", "epochs": 3, …}.
std::string settings_json(const CLI::App& command);

// Gives the options that were not named on the command line the values that settings_json wrote to a file.
// Error: an option was named with another value than the file's, unless it is one of `may_differ`.
void restore_settings(CLI::App& command, const std::string& path, const std::set<std::string>& may_differ);

}  // namespace lathe::tools
