#pragma once
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lathe/core/graph/graph.h"

namespace lathe {

// A function of a network's inputs.
using TraceFn = std::function<Variable(const std::vector<Variable>& inputs)>;

// What parameters and buffers are called, by the address of their elements: {"parameter", "conv1.weight"}.
using TraceNames = std::map<const void*, std::pair<std::string, std::string>>;

// Runs f(inputs) once without gradients and returns the graph of the ops it recorded.
Graph trace(const TraceFn& f, const std::vector<Tensor>& inputs, const TraceNames& names = {});

// The same with gradients: runs backward from the output, given ones for its gradient, and takes the time of each op's.
Graph trace_backward(const TraceFn& f, const std::vector<Tensor>& inputs, const TraceNames& names = {});

// Of a function of one input.
inline Graph trace(const std::function<Variable(const Variable&)>& f, const Tensor& input,
                   const TraceNames& names = {}) {
    return trace([&](const std::vector<Variable>& x) { return f(x[0]); }, std::vector{input}, names);
}

}  // namespace lathe
