#pragma once
#include <vector>

#include "lathe/core/graph/graph.h"

namespace lathe {

// Runs a traced op again, on other inputs, from its name and attributes alone. `inputs` are in the node's order; one that was
// absent (-1) stays an empty variable. Error: an op that no network contains but at its end (a loss), or an unknown one.
Variable replay(const GraphNode& node, const std::vector<Variable>& inputs);

}  // namespace lathe
