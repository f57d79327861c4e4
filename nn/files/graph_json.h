#pragma once
#include <string>

#include "lathe/core/graph/graph.h"

namespace lathe::nn {

// A graph as files hold it: JSON with a list of nodes in order of execution,
//   {"inputs": ["input"], "output": "fc", "nodes": [
//     {"name": "input", "op": "input", "shape": [1, 32, 32, 3]},
//     {"name": "conv1.weight", "op": "parameter", "shape": [16, 3, 3, 3], "order": "conv"},
//     {"name": "conv1", "op": "conv2d", "inputs": ["input", "conv1.weight", null], "stride": [1, 1], …}, …]}
// Names are Graph::names(), "layer" says the layer's path where the name is another; values that enter have their shape
// and, unless it is f32, "dtype"; shapes of ops follow from their rules. Tensors are not part of it.
std::string to_json(const Graph& graph);

// Error: not JSON like that, names the node and the reason; or a graph that does not hold (Graph::check).
Graph graph_from_json(const std::string& text);

// The attributes of an op from the members of a JSON object, `members` but for those named in `others`; `text` is that
// object. One number may stand for a list of equal ones. Error: an unknown attribute, a value of another type.
Attributes attributes_from_json(const OpInfo& op, const std::string& text, const std::vector<std::string>& others);

}  // namespace lathe::nn
