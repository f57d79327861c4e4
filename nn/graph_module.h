#pragma once
#include <deque>
#include <memory>
#include <vector>

#include "lathe/nn/module.h"

namespace lathe::nn {

// A network that is its graph: runs it op by op, in training or evaluation, recorded on the tape, to the same bits as
// the code that it was traced from. Whatever is a function from graph to graph (folding, quantizers on edges, a file
// that is read) becomes a module in this way.
//
//     GraphModule net(trace(model, x), model);   // trains model's own parameters
class GraphModule : public Module {
public:
    // With the parameters and buffers of `owner`, bound by name, which must outlive it.
    // Error: a graph that does not hold (Graph::check), a name that the owner lacks.
    GraphModule(Graph graph, Module& owner);
    // With parameters and buffers of its own, made from the values in the graph's nodes; constants become buffers.
    // Error: as above, or a node of these without a value.
    explicit GraphModule(Graph graph);
    ~GraphModule() override;

    // As it was given; after weights changed their sizes trace(*this, …) tells the shapes.
    const Graph& graph() const { return graph_; }

    // One for each stretch of nodes between places where a single value is alive.
    std::vector<Module*> pieces() override;

private:
    class Stretch;
    Variable forward(const Variable& x) override;
    Variable forward_all(const std::vector<Variable>& inputs) override;
    void prepare();
    void run(int begin, int end, std::vector<Variable>& values) const;

    Graph graph_;
    std::deque<Parameter> own_parameters_;
    std::deque<Tensor> own_buffers_;
    std::vector<Parameter*> parameters_;  // by node, null for others
    std::vector<Tensor*> buffers_;
    std::vector<int> last_reader_;        // of each node's value; the number of nodes for the output
    std::vector<std::unique_ptr<Stretch>> stretches_;
};

// The graph with parameters and buffers in the module's order before all else, so that a network made of it lists them
// alike.
Graph weights_first(Graph graph, Module& module);

// How a parameter's node says its order in files: the attributes "order" and "pixels".
Attributes order_attributes(const FileOrder& order);
FileOrder order_of(const GraphNode& parameter);

}  // namespace lathe::nn
