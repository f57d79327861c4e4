#pragma once
#include <cstdint>

#include "lathe/core/graph/graph.h"

// What a traced network costs. Trace an input of batch 1 for the figures of one image.
namespace lathe {

// What counts as a multiply-accumulate: those of convolutions and linear layers alone, or, as in the course labs, one
// more for each element of a batch norm's output and of a global average pool's.
enum class MacsCount { pure, lab };

// Multiply-accumulates of the op that the node ran, or of the whole graph; 0 for ops that are not counted.
int64_t macs(const Graph& graph, const GraphNode& node, MacsCount count = MacsCount::pure);
int64_t macs(const Graph& graph, MacsCount count = MacsCount::pure);

// The fewest bytes that must pass between memory and CPU when the op runs: whatever is read or written, once; 0 for
// views.
int64_t bytes(const Graph& graph, const GraphNode& node);

// Elements of the parameters that the node reads, directly or through weight transforms.
int64_t parameter_count(const Graph& graph, const GraphNode& node);

// For every node, the bytes of new activations that it makes: 0 for weights and their transforms, and for views of an
// activation that is there already.
std::vector<int64_t> activation_bytes(const Graph& graph);

// The most bytes of activations that must exist at once when the ops run in order and each activation is freed after
// its last reader: the network's input and output included, weights and the kernels' own workspaces not.
int64_t peak_activation_bytes(const Graph& graph);

// What the kernels see of a node whose op has a weight (OpInfo::layer).
kernels::Conv2dShape conv2d_shape(const Graph& graph, const GraphNode& node);

}  // namespace lathe
