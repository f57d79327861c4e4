#pragma once
#include "lathe/core/graph/graph.h"

namespace lathe {

// The graph of the same network for inference, with fewer passes over memory:
// - what depends on weights alone becomes a constant, which keeps its lowered form, what evaluation leaves alone
//   (dropout) goes;
// - a norm with fixed statistics behind a convolution or linear layer is multiplied into its weight and bias (Jacob et
//   al. 2017, arXiv 1712.05877, section 3.2);
// - a relu or relu6 behind one becomes its activation, and so does the one of such a norm or an addition;
// - an addition behind one becomes its addend.
// Only where nothing else reads the value between. Layers become their fused ops (OpInfo::fused: conv2d_fused,
// linear_fused); other ops stay as they were. The weights must have values, in float32.
Graph fold(const Graph& graph);

// Without nodes that neither the output nor an input needs, the rest in order.
Graph pruned(Graph graph);

}  // namespace lathe
