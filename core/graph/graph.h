#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lathe/core/tape/variable.h"

namespace lathe {

// One op of a traced graph, or a value that enters it: op is then "input", "parameter", "buffer" or "constant".
struct GraphNode {
    std::string op{};
    std::string path{};      // layer that ran the op ("layer1.0.conv1"); for parameters and buffers their full name
    Attributes attributes{};
    std::vector<int> inputs{}; // indices of the nodes that made the inputs; -1 for an absent one (no bias)
    Shape shape{};
    DType dtype = DType::f32;
    bool activation = false; // the network's input, or what depends on it
    Tensor value{};          // what came out: kept for weights and what was made of them, empty for activations
    double seconds = 0;      // time from the end of the op before to the end of this one
    double backward_seconds = 0;  // of its backward, when that was traced, too

    bool is_op() const;
};

// The one intermediate representation: what a model did on one input, in order of execution.
struct Graph {
    std::vector<GraphNode> nodes;
    int input = -1;
    int output = -1;

    // The parameter that an op's input comes from, through any weight transforms; null when it is an activation.
    const GraphNode* parameter(const GraphNode& node, size_t input) const;
    // Nodes that read node `index`.
    std::vector<int> consumers(int index) const;
    std::string str() const;  // one line a node
};

// Runs f(input) once without gradients and returns the graph of the ops it recorded. `names` gives parameters and
// buffers their names by the address of their elements.
using TraceNames = std::map<const void*, std::pair<std::string, std::string>>;
Graph trace(const std::function<Variable(const Variable&)>& f, const Tensor& input, const TraceNames& names = {});

// The same with gradients: runs backward from the output, given ones for its gradient, and takes the time of each op's.
Graph trace_backward(const std::function<Variable(const Variable&)>& f, const Tensor& input, const TraceNames& names = {});

}  // namespace lathe
