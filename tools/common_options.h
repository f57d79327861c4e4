#pragma once
#include <CLI/CLI.hpp>
#include <string>

namespace lathe::tools {

// Options that several commands have, in the same words.
CLI::Option* add_threads(CLI::App& command);                    // --threads; sets them when it is read
CLI::Option* add_runs(CLI::App& command, int& runs);            // --runs, of what is timed
CLI::Option* add_share(CLI::App& command, const std::string& name, double& share, const std::string& help);  // 0 to 1
CLI::Option* add_input(CLI::App& command, std::string& input);  // --input, for DataOptions::form

}  // namespace lathe::tools
