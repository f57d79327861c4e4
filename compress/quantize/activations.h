#pragma once
#include <functional>
#include <vector>

#include "lathe/core/graph/graph.h"

namespace lathe::compress {

// What a node's value is exchanged for; empty: it stays.
using Change = std::function<Tensor(int node, const Tensor& value)>;

// Of each node that is no activation its value, of others none.
std::vector<Tensor> leaf_values(const Graph& graph);

// Runs a graph of one input op by op, in evaluation, and shows every activation, which may be changed for those that
// follow. `weights`: of each node that is no activation its value.
void see_activations(const Graph& graph, const std::vector<Tensor>& weights, const Tensor& x, const Change& see);

// All activations of one such run, kept, so that what follows from a change is computed alone.
class Activations {
public:
    // The graph must outlive it.
    Activations(const Graph& graph, std::vector<Tensor> weights, const Tensor& x);

    const Tensor& operator[](int node) const { return values_[static_cast<size_t>(node)]; }
    const Tensor& output() const { return (*this)[graph_.output]; }
    // What the network gives when nodes have other values, weights among them.
    Tensor output_with(const Change& change) const;
    // From now on.
    void change(const Change& change) { run(graph_.size() - 1, change, values_); }

private:
    // Up to that node, from values that are to be changed.
    void run(int last, const Change& change, std::vector<Tensor>& values) const;

    const Graph& graph_;
    std::vector<Tensor> values_;  // of all nodes
};

// The mean square of the difference of two tensors, of doubles added up in order.
double mean_square_difference(const Tensor& a, const Tensor& b);
double mean_square(const Tensor& x);

}  // namespace lathe::compress
