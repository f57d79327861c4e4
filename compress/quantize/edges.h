#pragma once
#include <string>
#include <vector>

#include "lathe/core/graph/graph.h"

namespace lathe::compress {

// A value that a network stores once it runs in integers: its input, and what each op gives, with these exceptions:
//  - a layer takes in what lathe::fold gives it: an addition with another value of its shape, then a relu or relu6, so
//    that only the last of them is stored;
//  - views share what they are views of;
//  - probabilities (softmax) stay in floating point and are not stored in integers, nor is what is no floating-point
//    number here.
struct Edge {
    int node = 0;        // whose value it is
    std::string name;    // of the node (Graph::names)
    int group = 0;       // edges of one group share their scale: see below
};

// In order of execution. Values that only move (concat, slice, pad, permute, reshape, the greatest of a pool) have the
// scale of what they come from, so that integers can be moved as they are; all inputs of a concat then share one.
std::vector<Edge> stored_edges(const Graph& graph);
int group_count(const std::vector<Edge>& edges);

}  // namespace lathe::compress
