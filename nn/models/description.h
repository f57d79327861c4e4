#pragma once
#include <memory>
#include <string>

#include "lathe/nn/model.h"

namespace lathe::nn {

// A network described in JSON instead of C++:
//
//     {
//       "input": [32, 32, 3],
//       "layers": [
//         {"name": "conv1", "op": "conv2d", "out": 16, "kernel": 3, "padding": 1},
//         {"name": "bn1", "op": "batch_norm", "activation": "relu"},
//         {"name": "left", "op": "conv2d", "out": 16, "kernel": 3, "padding": 1, "groups": 4},
//         {"name": "right", "op": "conv2d", "inputs": ["bn1"], "out": 16},
//         {"name": "both", "op": "concat", "inputs": ["left", "right"]},
//         {"name": "pool", "op": "global_avg_pool"},
//         {"name": "fc", "op": "linear", "out": "classes"}
//       ],
//       "classes": 10
//     }
//
// "op" is a layer with weights (conv2d, linear, batch_norm, layer_norm, embedding), a block (basic_block,
// inverted_residual, squeeze_excite), a pool (max_pool2d, avg_pool2d) or any op of the op table; further members are
// its options or attributes. "inputs" are names of layers before, or "input"; a layer without them reads the one before
// it. Sizes of inputs are inferred. "classes" as an `out` is the number of classes that the user or the data ask for.
// Weights are drawn in the order of the layers, as C++ code that makes the same layers would.
//
// `given` may set classes and input; width, widths and dropout belong to networks of the zoo.
// Error: names the layer, what was expected and what came.
std::unique_ptr<Model> model_from_description(const std::string& text, const std::string& name,
                                              const ModelOptions& given = {});

}  // namespace lathe::nn
