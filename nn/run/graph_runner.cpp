#include "lathe/nn/run/graph_runner.h"

#include "lathe/nn/run/detail/at.h"

namespace lathe::nn {

namespace {

int find(const Graph& graph, const std::string& parameter) {
    for (int i = 0; i < graph.size(); ++i)
        if (graph[i].op == "parameter" && graph[i].path == parameter) return i;
    return -1;
}

}  // namespace

int first_reader(const Graph& graph, const std::string& parameter) {
    const int node = find(graph, parameter);
    const std::vector<int> readers = node < 0 ? std::vector<int>{} : graph.consumers(node);
    return readers.empty() ? graph.size() : readers.front();
}

GraphRunner::GraphRunner(const Graph& graph, Tensor x)
    : graph_(graph), last_reader_(graph.nodes.size(), -1), values_(graph.nodes.size()) {
    for (int i = 0; i < graph.size(); ++i)
        for (int from : graph[i].inputs)
            if (from >= 0) at(last_reader_, from) = i;
    at(last_reader_, graph.output) = graph.size();
    at(values_, graph.input()) = std::move(x);
}

Tensor GraphRunner::value_of(int node, const std::vector<Tensor>& values) const {
    if (node < 0) return {};
    return at(values, node) ? at(values, node) : graph_[node].value;
}

// The nodes [begin, end): activations, and what is computed from a weight with another value. A value is freed after
// its last reader.
void GraphRunner::run(int begin, int end, std::vector<Tensor>& values) const {
    const NoGrad no_grad;
    std::vector<Variable> inputs;
    for (int i = begin; i < end; ++i) {
        const GraphNode& node = graph_[i];
        if (!node.is_op()) continue;
        bool changed = node.activation;
        inputs.clear();
        for (int from : node.inputs) {
            changed |= from >= 0 && !graph_[from].activation && at(values, from);
            inputs.emplace_back(value_of(from, values));
        }
        if (!changed) continue;
        const PathScope path(node.path);
        at(values, i) = run_op(node.op, node.attributes, inputs).value();
        for (int from : node.inputs)
            if (from >= 0 && at(last_reader_, from) == i) at(values, from) = {};
    }
}

Tensor GraphRunner::output() const {
    std::vector<Tensor> values = values_;
    run(at_, graph_.size(), values);
    return value_of(graph_.output, values);
}

Tensor GraphRunner::output_with(const std::string& parameter, const Tensor& value) {
    const int node = find(graph_, parameter), reader = first_reader(graph_, parameter);
    if (reader == graph_.size()) return output();
    check(reader >= at_, "graph runner: expected parameters in the order in which they are read, got '", parameter,
          "' too late");
    run(at_, reader, values_);
    at_ = reader;
    std::vector<Tensor> values = values_;
    at(values, node) = value;
    run(at_, graph_.size(), values);
    return value_of(graph_.output, values);
}

}  // namespace lathe::nn
