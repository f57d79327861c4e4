#pragma once
#include <string>
#include <utility>
#include <vector>

#include "lathe/nn/module.h"

namespace lathe::compress {

using NamedParameters = std::vector<std::pair<std::string, nn::Parameter*>>;

// The parameters of a module that are to be made smaller, in its order: those of the names `only`, or without any all
// of two dimensions or more, less those of the names `skip`; never those of transforms. Names are patterns as in
// Module::named_parameters. Error: one that matches none (names the nearest).
NamedParameters chosen_weights(nn::Module& module, const std::vector<std::string>& only,
                               const std::vector<std::string>& skip);

}  // namespace lathe::compress
