#include "lathe/core/graph/graph.h"

#include <atomic>
#include <set>

#include "lathe/core/text.h"

namespace lathe {

int Graph::input() const {
    lathe::check(inputs.size() == 1, "graph: expected one input, got ", inputs.size());
    return inputs[0];
}

const GraphNode* Graph::parameter(const GraphNode& node, size_t input) const {
    const int at = input < node.inputs.size() ? node.inputs[input] : -1;
    return at >= 0 && (*this)[at].op == "parameter" ? &(*this)[at] : nullptr;
}

std::vector<int> Graph::consumers(int index) const {
    std::vector<int> found;
    for (int i = 0; i < size(); ++i)
        for (int input : (*this)[i].inputs)
            if (input == index) {
                found.push_back(i);
                break;
            }
    return found;
}

std::vector<int> Graph::reader_counts() const {
    std::vector<int> counts(nodes.size(), 0);
    for (const GraphNode& node : nodes)
        for (int input : node.inputs)
            if (input >= 0) ++counts[static_cast<size_t>(input)];
    if (output >= 0) ++counts[static_cast<size_t>(output)];
    return counts;
}

std::vector<std::string> Graph::names() const {
    std::vector<std::string> names(nodes.size());
    std::set<std::string> taken;
    const auto claim = [&](const std::string& wanted) {
        std::string name = wanted;
        for (int i = 2; !taken.insert(name).second; ++i) name = wanted + "." + std::to_string(i);
        return name;
    };
    for (size_t i = 0; i < nodes.size(); ++i)
        if (nodes[i].op == "parameter" || nodes[i].op == "buffer") names[i] = claim(nodes[i].path);
    for (size_t i = 0; i < nodes.size(); ++i) {
        const GraphNode& node = nodes[i];
        if (!names[i].empty()) continue;
        if (node.path.empty() || (node.is_op() && taken.count(node.path)))
            names[i] = claim(node.path.empty() ? node.op.name() : node.path + "." + node.op.name());
        else
            names[i] = claim(node.path);
    }
    return names;
}

std::string Graph::str() const {
    TextStream out;
    for (int i = 0; i < size(); ++i) {
        const GraphNode& node = (*this)[i];
        out << '%' << i << " = " << node.op << '(';
        for (size_t k = 0; k < node.inputs.size(); ++k) out << (k ? ", " : "") << '%' << node.inputs[k];
        out << ") " << node.shape << ' ' << node.path << ' ' << node.attributes.str() << '\n';
    }
    return out.str();
}

namespace {

std::string described(const Graph& graph, int index) {
    const GraphNode& node = graph[index];
    return concatenated("graph: node ", index, " (", node.op, node.path.empty() ? "" : " of '", node.path,
                          node.path.empty() ? "" : "'", ")");
}

// Runs f; its errors then name the node.
template <class F>
void at_node(const Graph& graph, int index, F f) {
    try {
        f();
    } catch (const Error& error) {
        fail(described(graph, index), ": ", error.what());
    }
}

}  // namespace

void Graph::check() const {
    lathe::check(output >= 0 && output < size(), "graph: expected an output among its ", size(), " nodes, got ",
                 output);
    lathe::check(!inputs.empty(), "graph: expected at least one input");
    for (int input : inputs)
        lathe::check(input >= 0 && input < size() && (*this)[input].op == "input",
                     "graph: expected inputs among its nodes, got ", input);
    for (int i = 0; i < size(); ++i)
        at_node(*this, i, [&] {
            const GraphNode& node = (*this)[i];
            bool activation = node.op == "input";
            for (int from : node.inputs) {
                lathe::check(from >= -1 && from < i, "expected inputs from nodes before it, got ", from);
                activation |= from >= 0 && (*this)[from].activation;
            }
            node.op->check_call(node.attributes, node.inputs.size());
            lathe::check(node.activation == activation,
                         "expected the mark of an activation where an input is one, and nowhere else");
            if (!node.is_op()) return;
            for (int k = 0; k < node.op->min_inputs && node.op->min_inputs <= 2; ++k)
                lathe::check(node.inputs[static_cast<size_t>(k)] >= 0, "input ", k, " is absent");
            const Shape expected = node.op->shape(node.attributes, input_shapes(node));
            lathe::check(node.shape == expected, "expected shape ", expected, ", got ", node.shape);
        });
}

std::vector<Shape> Graph::shapes(const std::vector<Shape>& of_inputs) const {
    lathe::check(of_inputs.size() == inputs.size(), "graph: expected ", inputs.size(), " inputs, got ",
                 of_inputs.size());
    std::vector<Shape> found(nodes.size());
    for (size_t i = 0; i < inputs.size(); ++i) found[static_cast<size_t>(inputs[i])] = of_inputs[i];
    for (int i = 0; i < size(); ++i) {
        const GraphNode& node = (*this)[i];
        Shape& shape = found[static_cast<size_t>(i)];
        if (!node.activation) shape = node.shape;
        else if (node.is_op())
            at_node(*this, i, [&] {
                shape = node.op->shape(node.attributes, InputShapes(node, [&](int from) -> const Shape& {
                                           return found[static_cast<size_t>(from)];
                                       }));
            });
    }
    return found;
}

namespace {

std::atomic<bool> checking{
#ifdef NDEBUG
    false
#else
    true
#endif
};

}  // namespace

void check_pass(const Graph& graph) {
    if (checking) graph.check();
}
void check_passes(bool on) { checking = on; }

}  // namespace lathe
