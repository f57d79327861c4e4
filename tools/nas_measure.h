#pragma once
#include <CLI/CLI.hpp>

namespace lathe::tools {

// `lathe nas measure`: a table of how long the parts of a design space's networks take.
void add_nas_measure(CLI::App& nas);

}  // namespace lathe::tools
