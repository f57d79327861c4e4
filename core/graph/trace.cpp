#include "lathe/core/graph/trace.h"

#include <chrono>

namespace lathe {

namespace {

using Clock = std::chrono::steady_clock;

// Values are known by the address of their elements and their shape (a reshape shares the elements), so the trace keeps
// every value alive while it runs.
using Key = std::pair<const void*, std::vector<int64_t>>;

Key key(const Tensor& value) { return {value.raw(), {value.shape().begin(), value.shape().end()}}; }

struct Trace {
    Graph graph;
    std::string scope = current_path();  // layers are named from here on
    const TraceNames* names;
    std::map<Key, int> index;
    std::map<const Node*, int> made_by;  // the op of a node of the tape
    std::vector<Tensor> alive;
    Clock::time_point last = Clock::now();

    // The layer that runs, within the function that is traced.
    std::string path() const {
        const std::string whole = current_path();
        if (scope.empty() || !whole.starts_with(scope)) return whole;
        return whole.size() > scope.size() ? whole.substr(scope.size() + 1) : "";
    }

    int add(GraphNode node, const Tensor& value) {
        graph.nodes.push_back(std::move(node));
        alive.push_back(value);
        return index[key(value)] = graph.size() - 1;
    }

    int find(const Variable& x) {
        if (!x) return -1;
        const Tensor& value = x.value();
        if (auto known = index.find(key(value)); known != index.end()) return known->second;
        GraphNode node{.op = "constant", .shape = value.shape(), .dtype = value.dtype(), .value = value};
        if (auto named = names->find(value.raw()); named != names->end()) {
            node.op = named->second.first;
            node.path = named->second.second;
        }
        return add(std::move(node), value);
    }
};

thread_local Trace* active = nullptr;

}  // namespace

namespace detail {

bool tracing() { return active != nullptr; }

void trace_op(const char* op, const Inputs& inputs, const Variable& y, Attributes attributes) {
    const auto now = Clock::now();
    GraphNode node{
        .op = op, .path = active->path(), .attributes = std::move(attributes), .shape = y.shape(), .dtype = y.dtype()};
    for (size_t i = 0; i < inputs.size(); ++i) {
        node.inputs.push_back(active->find(*inputs[i]));
        node.activation |= node.inputs.back() >= 0 && active->graph[node.inputs.back()].activation;
    }
    if (!node.activation) node.value = y.value();
    node.seconds = std::chrono::duration<double>(now - active->last).count();
    active->graph.output = active->add(std::move(node), y.value());
    if (y.node()) active->made_by[y.node().get()] = active->graph.output;
    active->last = Clock::now();
}

void trace_backward(const Node& node) {
    const auto now = Clock::now();
    if (const auto op = active->made_by.find(&node); op != active->made_by.end())
        active->graph[op->second].backward_seconds = std::chrono::duration<double>(now - active->last).count();
    active->last = Clock::now();
}

}  // namespace detail

namespace {

// Runs f(inputs) with every op recorded in the trace, then `finish` on what came out.
template <class Finish>
Graph run_traced(const TraceFn& f, const std::vector<Tensor>& inputs, const TraceNames& names, Finish&& finish) {
    Trace trace;
    trace.names = &names;
    for (const Tensor& input : inputs)
        trace.graph.inputs.push_back(
            trace.add({.op = "input", .shape = input.shape(), .dtype = input.dtype(), .activation = true}, input));
    struct Restore {
        Trace* before;
        ~Restore() { active = before; }
    } restore{std::exchange(active, &trace)};
    const Variable output = f({inputs.begin(), inputs.end()});
    trace.graph.output = trace.find(output);
    finish(trace, output);
    return std::move(trace.graph);
}

}  // namespace

Graph trace(const TraceFn& f, const std::vector<Tensor>& inputs, const TraceNames& names) {
    NoGrad no_grad;
    return run_traced(f, inputs, names, [](Trace&, const Variable&) {});
}

Graph trace_backward(const TraceFn& f, const std::vector<Tensor>& inputs, const TraceNames& names) {
    return run_traced(f, inputs, names, [](Trace& trace, const Variable& output) {
        trace.alive.clear();
        Tensor ones = Tensor::full(output.shape(), 1.0, output.dtype());
        trace.last = Clock::now();
        backward(output, std::move(ones));
    });
}

}  // namespace lathe
