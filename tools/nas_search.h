#pragma once
#include <CLI/CLI.hpp>

namespace lathe::tools {

void add_nas_search(CLI::App& nas);

}  // namespace lathe::tools
