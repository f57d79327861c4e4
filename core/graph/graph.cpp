#include "lathe/core/graph/graph.h"

#include <chrono>
#include <sstream>

namespace lathe {

namespace {

using Clock = std::chrono::steady_clock;

// Values are known by the address of their elements and their shape (a reshape shares the elements), so the trace keeps
// every value alive while it runs.
using Key = std::pair<const void*, std::vector<int64_t>>;

Key key(const Tensor& value) { return {value.raw(), {value.shape().begin(), value.shape().end()}}; }

struct Trace {
    Graph graph;
    const TraceNames* names;
    std::map<Key, int> index;
    std::map<const Node*, int> made_by;  // the op of a node of the tape
    std::vector<Tensor> alive;
    Clock::time_point last = Clock::now();

    int add(GraphNode node, const Tensor& value) {
        graph.nodes.push_back(std::move(node));
        alive.push_back(value);
        return index[key(value)] = static_cast<int>(graph.nodes.size()) - 1;
    }

    int find(const Variable& x) {
        if (!x) return -1;
        const Tensor& value = x.value();
        if (auto known = index.find(key(value)); known != index.end()) return known->second;
        GraphNode node{.op = "constant", .shape = value.shape(), .dtype = value.dtype(), .value = value};
        if (auto named = names->find(value.raw()); named != names->end()) std::tie(node.op, node.path) = named->second;
        return add(std::move(node), value);
    }
};

thread_local Trace* active = nullptr;

}  // namespace

bool GraphNode::is_op() const { return op != "input" && op != "parameter" && op != "buffer" && op != "constant"; }

const GraphNode* Graph::parameter(const GraphNode& node, size_t input) const {
    int at = input < node.inputs.size() ? node.inputs[input] : -1;
    while (at >= 0) {
        const GraphNode& source = nodes[at];
        if (source.op == "parameter") return &source;
        at = source.is_op() && !source.activation && !source.inputs.empty() ? source.inputs[0] : -1;
    }
    return nullptr;
}

std::vector<int> Graph::consumers(int index) const {
    std::vector<int> found;
    for (size_t i = 0; i < nodes.size(); ++i)
        for (int input : nodes[i].inputs)
            if (input == index) {
                found.push_back(static_cast<int>(i));
                break;
            }
    return found;
}

std::string Graph::str() const {
    std::ostringstream out;
    for (size_t i = 0; i < nodes.size(); ++i) {
        const GraphNode& node = nodes[i];
        out << '%' << i << " = " << node.op << '(';
        for (size_t k = 0; k < node.inputs.size(); ++k) out << (k ? ", " : "") << '%' << node.inputs[k];
        out << ") " << node.shape << ' ' << node.path << ' ' << node.attributes.str() << '\n';
    }
    return out.str();
}

namespace detail {

bool tracing() { return active != nullptr; }

void trace_op(const char* op, const Inputs& inputs, const Variable& y, Attributes attributes) {
    const auto now = Clock::now();
    GraphNode node{.op = op, .path = current_path(), .attributes = std::move(attributes), .shape = y.shape(), .dtype = y.dtype()};
    for (size_t i = 0; i < inputs.size(); ++i) {
        node.inputs.push_back(active->find(*inputs[i]));
        node.activation |= node.inputs.back() >= 0 && active->graph.nodes[node.inputs.back()].activation;
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
        active->graph.nodes[static_cast<size_t>(op->second)].backward_seconds = std::chrono::duration<double>(now - active->last).count();
    active->last = Clock::now();
}

}  // namespace detail

namespace {

// Runs f(input) with every op recorded in the trace, then `finish` on what came out.
template <class Finish>
Graph run_traced(const std::function<Variable(const Variable&)>& f, const Tensor& input, const TraceNames& names, Finish&& finish) {
    Trace trace;
    trace.names = &names;
    trace.graph.input = trace.add({.op = "input", .shape = input.shape(), .dtype = input.dtype(), .activation = true}, input);
    struct Restore {
        Trace* before;
        ~Restore() { active = before; }
    } restore{std::exchange(active, &trace)};
    const Variable output = f(input);
    trace.graph.output = trace.find(output);
    finish(trace, output);
    return std::move(trace.graph);
}

}  // namespace

Graph trace(const std::function<Variable(const Variable&)>& f, const Tensor& input, const TraceNames& names) {
    NoGrad no_grad;
    return run_traced(f, input, names, [](Trace&, const Variable&) {});
}

Graph trace_backward(const std::function<Variable(const Variable&)>& f, const Tensor& input, const TraceNames& names) {
    return run_traced(f, input, names, [](Trace& trace, const Variable& output) {
        trace.alive.clear();
        Tensor ones = Tensor::full(output.shape(), 1.0, output.dtype());
        trace.last = Clock::now();
        backward(output, std::move(ones));
    });
}

}  // namespace lathe
