#pragma once
#include <string>
#include <vector>

#include "lathe/core/graph/graph.h"

namespace lathe::nn {

// Where a parameter is read first, by its name; the graph's size: nowhere.
int first_reader(const Graph& graph, const std::string& parameter);

// Runs a network's graph on one input again and again with other values of one weight: what comes before the weight's
// first reader is computed once, so that trying all weights in the order of the network costs half of whole runs. Of
// that it keeps only what is read later.
//
//     GraphRunner runner(graph, x);
//     for (const std::string& name : in_order)
//         for (…) runner.output_with(name, value);
class GraphRunner {
public:
    // The graph, of one input and any batch size, must outlive the runner.
    GraphRunner(const Graph& graph, Tensor x);

    // Error: ops that cannot run on the input.
    Tensor output() const;
    // With another value for a parameter by its name, or for none that the network reads. Error: its first reader
    // stands before that of a parameter asked for earlier.
    Tensor output_with(const std::string& parameter, const Tensor& value);

private:
    Tensor value_of(int node, const std::vector<Tensor>& values) const;
    void run(int begin, int end, std::vector<Tensor>& values) const;

    const Graph& graph_;
    std::vector<int> last_reader_;
    std::vector<Tensor> values_;  // of the activations before node at_ that it or later ones read
    int at_ = 0;
};

}  // namespace lathe::nn
