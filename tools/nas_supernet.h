#pragma once
#include <CLI/CLI.hpp>

namespace lathe::tools {

// The subcommands of `lathe nas` that train a supernet and use it.
void add_nas_train(CLI::App& nas);
void add_nas_sample(CLI::App& nas);
void add_nas_extract(CLI::App& nas);

}  // namespace lathe::tools
