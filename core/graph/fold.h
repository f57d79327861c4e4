#pragma once
#include "lathe/core/graph/graph.h"

namespace lathe {

// The graph of the same network for inference, with fewer passes over memory:
// - what depends on weights alone (masks, fake quantization) becomes a constant;
// - a batch norm behind a convolution or linear layer is multiplied into its weight and bias (Jacob et al. 2017,
//   arXiv 1712.05877, section 3.2);
// - a relu or relu6 behind one becomes its attribute "activation", and so does the one of a batch norm or an addition;
// - an addition behind one becomes its fourth input, of the output's shape: activation(conv(x) + bias + input).
// Only where nothing else reads the value between. `conv2d` and `linear` of the result have four inputs and that attribute;
// other ops stay as they were. The graph must have been traced in evaluation mode, in float32.
Graph fold(const Graph& graph);

}  // namespace lathe
