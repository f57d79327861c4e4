#pragma once
#include "lathe/core/graph/graph.h"
#include "lathe/core/kernels/conv2d/conv2d.h"

namespace lathe::nn {

// The folded graph with every op in the layout of activations that costs least: NHWC, which dense kernels take, or CHWN
// (conv2d_chwn.h), which the sparse ones run faster on. Nodes say theirs (GraphNode::layout); where a value changes it
// stands an op "to_chwn" or "to_nhwc". Shapes stay those of NHWC. The input and the output are NHWC. The choice is a
// minimum cut: an op on one side costs what it takes there, an edge across what converting takes, by the kernels'
// estimates alone, so that the same graph always gets the same layouts. A graph that has nothing to gain, or batches of
// fewer images than a vector has lanes, stays as it was. A 2x2 maximum of what a convolution in CHWN alone makes
// becomes its attribute "max_pool", and the convolution's shape is that of the maximum.
Graph arrange(const Graph& graph);

// The sparse kernels' pattern for the weight of a convolution or linear layer, as its mask has it.
kernels::SparsePattern weight_pattern(const Graph& graph, const GraphNode& node, const kernels::Conv2dShape& shape);

inline bool is_chwn(const GraphNode& node) { return node.layout == Layout::chwn; }  // its result is

// The node's attributes with the axes of CHWN, to be run on it: there the channels come first and the images last.
GraphNode in_chwn(const GraphNode& node);

}  // namespace lathe::nn
