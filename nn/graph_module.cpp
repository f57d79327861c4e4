#include "lathe/nn/graph_module.h"

#include <algorithm>
#include <map>
#include <set>

#include "lathe/core/enum_names.h"

namespace lathe::nn {

namespace {

constexpr EnumNames<FileOrder::Kind, 3> kOrders{
    "order", {{FileOrder::plain, "plain"}, {FileOrder::conv, "conv"}, {FileOrder::image, "image"}}};

}  // namespace

Attributes order_attributes(const FileOrder& order) {
    if (order.kind == FileOrder::plain) return {};
    Attributes attributes{{"order", std::string(kOrders[order.kind])}};
    if (order.kind == FileOrder::image) attributes.add("pixels", order.pixels);
    return attributes;
}

FileOrder order_of(const GraphNode& parameter) {
    const Attributes& a = parameter.attributes;
    if (!a.has("order")) return {};
    FileOrder order{.kind = kOrders.value_of(a.text("order"))};
    const int rank = order.kind == FileOrder::conv ? 4 : 2;
    check(parameter.shape.rank() == rank, "expected a parameter of ", rank, " dimensions for the order '",
          a.text("order"), "', got ", parameter.shape);
    if (order.kind == FileOrder::image) {
        order.pixels = a.integer("pixels");
        check(order.pixels >= 1 && parameter.shape[1] % order.pixels == 0, "expected pixels that divide ",
              parameter.shape[1], " columns, got ", order.pixels);
    }
    return order;
}

// Nodes [begin, end), of whose values before only that of `begin - 1` is read.
class GraphModule::Stretch : public Module {
public:
    Stretch(const GraphModule& net, int begin, int end) : net_(net), begin_(begin), end_(end) {}

private:
    Variable forward(const Variable& x) override {
        std::vector<Variable> values(net_.graph_.nodes.size());
        values[static_cast<size_t>(begin_) - 1] = x;
        net_.run(begin_, end_, values);
        return values[static_cast<size_t>(end_) - 1];
    }

    const GraphModule& net_;
    int begin_, end_;
};

GraphModule::~GraphModule() = default;

GraphModule::GraphModule(Graph graph, Module& owner) : graph_(std::move(graph)) {
    prepare();
    const auto parameters = by_name(owner.named_parameters());
    const auto buffers = by_name(owner.named_buffers());
    const auto bind = [](const auto& known, const GraphNode& node) {
        const auto found = known.find(node.path);
        check(found != known.end(), "graph: the network has no ", node.op, " called '", node.path, "'");
        return found->second;
    };
    std::set<std::string> used;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
        GraphNode& node = graph_.nodes[i];
        if (node.op == "parameter") parameters_[i] = bind(parameters, node);
        if (node.op == "buffer") buffers_[i] = bind(buffers, node);
        if (node.op != "constant") node.value = {};
        used.insert(node.path);
    }
    for (const auto& [name, known] : owner.named_parameters())
        if (used.count(name)) parameter(name, *known);
    for (const auto& [name, known] : owner.named_buffers())
        if (used.count(name)) buffer(name, *known);
}

GraphModule::GraphModule(Graph graph) : graph_(std::move(graph)) {
    prepare();
    const std::vector<std::string> names = graph_.names();
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
        GraphNode& node = graph_.nodes[i];
        if (node.is_op() || node.op == "input") continue;
        check(bool(node.value), "graph: expected a value of the ", node.op, " '", names[i], "'");
        const PathScope scope(names[i]);
        if (node.op == "parameter") {
            parameters_[i] = &own_parameters_.emplace_back(std::move(node.value), order_of(node));
            parameter(names[i], *parameters_[i]);
        } else {
            buffers_[i] = &own_buffers_.emplace_back(std::move(node.value));
            buffer(names[i], *buffers_[i]);
        }
        node.value = {};
    }
}

void GraphModule::prepare() {
    graph_.check();
    parameters_.resize(graph_.nodes.size());
    buffers_.resize(graph_.nodes.size());
    last_reader_.assign(graph_.nodes.size(), -1);
    for (int i = 0; i < graph_.size(); ++i)
        for (int from : graph_[i].inputs)
            if (from >= 0) last_reader_[static_cast<size_t>(from)] = i;
    last_reader_[static_cast<size_t>(graph_.output)] = graph_.size();
}

std::vector<Module*> GraphModule::pieces() {
    if (graph_.inputs.size() != 1 || graph_.output != graph_.size() - 1) return {this};
    if (stretches_.empty()) {
        // A stretch ends behind node i when no later node reads an activation before it; not between a layer and its
        // folded norm, whose backward moves the statistics that the layer is computed with.
        const auto is_folded = [&](int reader) {
            const Attributes& how = graph_[reader].attributes;
            return graph_[reader].op == "batch_norm" && how.has("folded") && how.integer("folded") != 0;
        };
        int needed = -1, begin = graph_.input() + 1;
        for (int i = 0; i < graph_.size(); ++i) {
            if (!graph_[i].is_op()) continue;
            const std::vector<int> readers = graph_.consumers(i);
            const bool belongs = std::any_of(readers.begin(), readers.end(), is_folded);
            if (graph_[i].activation && needed <= i && i >= begin && !belongs) {
                stretches_.push_back(std::make_unique<Stretch>(*this, begin, i + 1));
                begin = i + 1;
            }
            needed = std::max(needed, last_reader_[static_cast<size_t>(i)]);
        }
    }
    std::vector<Module*> pieces;
    for (const auto& stretch : stretches_) pieces.push_back(stretch.get());
    return pieces.empty() ? std::vector<Module*>{this} : pieces;
}

void GraphModule::run(int begin, int end, std::vector<Variable>& values) const {
    const Mode mode = training() ? Mode::training : Mode::evaluation;
    std::vector<Variable> inputs;
    for (int i = begin; i < end; ++i) {
        const GraphNode& node = graph_[i];
        if (!node.is_op()) continue;
        inputs.clear();
        for (int from : node.inputs) {
            const auto at = static_cast<size_t>(from);
            if (from < 0) inputs.emplace_back();
            else if (parameters_[at]) inputs.push_back(parameters_[at]->effective());
            else if (buffers_[at]) inputs.emplace_back(*buffers_[at]);
            else if (graph_[from].value) inputs.emplace_back(graph_[from].value);  // a constant
            else inputs.push_back(values[at]);
        }
        const PathScope scope(node.path);
        values[static_cast<size_t>(i)] = node.op->run(node.attributes, inputs, mode);
        for (int from : node.inputs)
            if (from >= 0 && last_reader_[static_cast<size_t>(from)] == i) values[static_cast<size_t>(from)] = {};
    }
}

Variable GraphModule::forward(const Variable& x) { return forward_all({x}); }

Variable GraphModule::forward_all(const std::vector<Variable>& inputs) {
    check(inputs.size() == graph_.inputs.size(), "expected ", graph_.inputs.size(), " inputs, got ", inputs.size());
    std::vector<Variable> values(graph_.nodes.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
        const auto at = static_cast<size_t>(graph_.inputs[i]);
        const Shape& expected = graph_.nodes[at].shape;
        check(inputs[i].value().rank() == expected.rank() &&
                  (inputs[i].dtype() == graph_.nodes[at].dtype || is_float(inputs[i].dtype())),
              "expected an input like ", name_of(graph_.nodes[at].dtype), " ", expected, ", got ",
              name_of(inputs[i].dtype()), " ", inputs[i].shape());
        values[at] = inputs[i];
    }
    run(0, graph_.size(), values);
    check(graph_[graph_.output].activation, "graph: expected an output that depends on the input");
    return values[static_cast<size_t>(graph_.output)];
}

Graph weights_first(Graph graph, Module& module) {
    std::map<std::string, int> by_name;
    for (int i = 0; i < graph.size(); ++i)
        if (graph[i].op == "parameter" || graph[i].op == "buffer") by_name[graph[i].path] = i;
    std::vector<int> order;
    const auto take = [&](const std::string& name) {
        if (const auto found = by_name.find(name); found != by_name.end()) order.push_back(found->second);
    };
    for (const auto& [name, parameter] : module.named_parameters()) take(name);
    for (const auto& [name, buffer] : module.named_buffers()) take(name);
    std::vector<int> place(graph.nodes.size(), -1);
    for (size_t i = 0; i < order.size(); ++i) place[static_cast<size_t>(order[i])] = static_cast<int>(i);
    for (int i = 0; i < graph.size(); ++i)
        if (place[static_cast<size_t>(i)] < 0) {
            place[static_cast<size_t>(i)] = static_cast<int>(order.size());
            order.push_back(i);
        }
    Graph ordered{.inputs = graph.inputs, .output = place[static_cast<size_t>(graph.output)]};
    for (int from : order) {
        ordered.nodes.push_back(std::move(graph[from]));
        for (int& input : ordered.nodes.back().inputs)
            if (input >= 0) input = place[static_cast<size_t>(input)];
    }
    for (int& input : ordered.inputs) input = place[static_cast<size_t>(input)];
    return ordered;
}

}  // namespace lathe::nn
