#include "lathe/compress/quantize/activations.h"

#include <algorithm>

namespace lathe::compress {

namespace {

Tensor run_node(const Graph& graph, int index, const std::vector<Tensor>& values) {
    const GraphNode& node = graph[index];
    std::vector<Variable> inputs;
    for (int from : node.inputs) inputs.push_back(from < 0 ? Variable() : Variable(values[static_cast<size_t>(from)]));
    const PathScope scope(node.path);
    return run_op(node.op, node.attributes, inputs).value();
}

}  // namespace

std::vector<Tensor> leaf_values(const Graph& graph) {
    std::vector<Tensor> values;
    for (const GraphNode& node : graph.nodes) values.push_back(node.activation ? Tensor{} : node.value);
    return values;
}

void see_activations(const Graph& graph, const std::vector<Tensor>& weights, const Tensor& x, const Change& see) {
    const NoGrad no_grad;
    std::vector<int> last_reader(graph.nodes.size(), -1);
    for (int i = 0; i < graph.size(); ++i)
        for (int from : graph[i].inputs)
            if (from >= 0) last_reader[static_cast<size_t>(from)] = i;
    std::vector<Tensor> values = weights;
    values[static_cast<size_t>(graph.input())] = x;
    for (int i = 0; i < graph.size(); ++i) {
        const GraphNode& node = graph[i];
        if (!node.activation) continue;
        Tensor& value = values[static_cast<size_t>(i)];
        if (node.is_op()) value = run_node(graph, i, values);
        if (Tensor other = see(i, value)) value = std::move(other);
        for (int from : node.inputs)
            if (from >= 0 && graph[from].activation && last_reader[static_cast<size_t>(from)] == i)
                values[static_cast<size_t>(from)] = {};
    }
}

Activations::Activations(const Graph& graph, std::vector<Tensor> weights, const Tensor& x)
    : graph_(graph), values_(std::move(weights)) {
    const NoGrad no_grad;
    values_[static_cast<size_t>(graph_.input())] = x;
    for (int i = 0; i < graph_.size(); ++i)
        if (graph_[i].activation && graph_[i].is_op()) values_[static_cast<size_t>(i)] = run_node(graph_, i, values_);
}

Tensor Activations::output_with(const Change& change) const {
    std::vector<Tensor> values = values_;
    run(graph_.output, change, values);
    return values[static_cast<size_t>(graph_.output)];
}

void Activations::run(int last, const Change& change, std::vector<Tensor>& values) const {
    const NoGrad no_grad;
    std::vector<bool> changed(values.size(), false);
    for (int i = 0; i <= last; ++i) {
        const auto at = static_cast<size_t>(i);
        const std::vector<int>& inputs = graph_[i].inputs;
        changed[at] = std::any_of(inputs.begin(), inputs.end(),
                                  [&](int from) { return from >= 0 && changed[static_cast<size_t>(from)]; });
        if (changed[at]) values[at] = run_node(graph_, i, values);
        if (!values[at]) continue;
        if (Tensor other = change(i, values[at])) {
            values[at] = std::move(other);
            changed[at] = true;
        }
    }
}

double mean_square_difference(const Tensor& a, const Tensor& b) {
    check(a.shape() == b.shape(), "mean_square_difference: expected one shape, got ", a.shape(), " and ", b.shape());
    const float *p = a.data<float>(), *q = b.data<float>();
    double sum = 0;
    for (int64_t i = 0; i < a.numel(); ++i) {
        const double difference = static_cast<double>(p[i]) - q[i];
        sum += difference * difference;
    }
    return a.numel() ? sum / static_cast<double>(a.numel()) : 0;
}

double mean_square(const Tensor& x) { return mean_square_difference(x, Tensor::zeros(x.shape())); }

}  // namespace lathe::compress
