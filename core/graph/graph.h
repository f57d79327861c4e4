#pragma once
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "lathe/core/graph/lowered.h"
#include "lathe/core/graph/op_table.h"

namespace lathe {

// How the elements of an activation lie in memory. Shapes are always those of nhwc.
enum class Layout : uint8_t { nhwc, chwn };

// One op of a graph, or a value that enters it ("input", "parameter", "buffer" or "constant").
struct GraphNode {
    Op op{};
    std::string path{};        // layer that ran the op ("layer1.0.conv1"); for parameters and buffers their full name
    Attributes attributes{};
    std::vector<int> inputs{}; // indices of the nodes that made the inputs; -1 for an absent one (no bias)
    Shape shape{};
    DType dtype = DType::f32;
    bool activation = false;   // an input of the network, or what depends on one
    Tensor value{};            // what came out: kept for weights and what was made of them, empty for activations
    std::shared_ptr<const Lowered> lowered{};  // of a weight that has transforms: what is known of its value
    Layout layout = Layout::nhwc;
    double seconds = 0;        // time from the end of the op before to the end of this one
    double backward_seconds = 0;  // of its backward, when that was traced, too

    bool is_op() const { return !op->leaf; }
};

// The shapes of a node's inputs, as rows of the op table take them.
class InputShapes {
public:
    template <class ShapeOf>  // (index of a node) -> its shape
    InputShapes(const GraphNode& node, ShapeOf&& shape_of) : size_(node.inputs.size()) {
        if (size_ > few_.size()) many_.resize(size_);
        Shape* to = many_.empty() ? few_.data() : many_.data();
        for (int from : node.inputs) *to++ = from < 0 ? kAbsent : shape_of(from);
    }
    operator Shapes() const { return {many_.empty() ? few_.data() : many_.data(), size_}; }

private:
    std::array<Shape, 5> few_;
    std::vector<Shape> many_;
    size_t size_;
};

// The one intermediate representation: what a network does, in order of execution. Whatever follows tracing is a
// function from graph to graph.
struct Graph {
    std::vector<GraphNode> nodes{};
    std::vector<int> inputs{};  // the network's inputs, in order
    int output = -1;

    GraphNode& operator[](int index) { return nodes[static_cast<size_t>(index)]; }
    const GraphNode& operator[](int index) const { return nodes[static_cast<size_t>(index)]; }
    int size() const { return static_cast<int>(nodes.size()); }
    // The only input. Error: there are several.
    int input() const;

    // The parameter that an op's input is; null when it is something else.
    const GraphNode* parameter(const GraphNode& node, size_t input) const;
    // Nodes that read node `index`.
    std::vector<int> consumers(int index) const;
    // How often each node is read; once more for the output.
    std::vector<int> reader_counts() const;
    InputShapes input_shapes(const GraphNode& node) const {
        return {node, [this](int from) -> const Shape& { return nodes[static_cast<size_t>(from)].shape; }};
    }
    // A name for every node that no other has: those of parameters, buffers and inputs as they are, "layer1.0.conv1"
    // for the first op of a layer, "layer1.0.conv1.relu" for further ones.
    std::vector<std::string> names() const;
    std::string str() const;  // one line a node

    // Every node comes after what it reads, is an op of the table (a call that the op takes) and has the shape that the
    // op's rule gives. Each pass over a graph calls it when built for debugging, tests always do. Error: names the node
    // and the reason.
    void check() const;
    // The shapes of all nodes for inputs of other sizes (a free batch; a free length where the ops allow one).
    // Error: names the node that cannot have them.
    std::vector<Shape> shapes(const std::vector<Shape>& of_inputs) const;
};

// check() when NDEBUG is not defined, and in tests, which ask for it.
void check_pass(const Graph& graph);
void check_passes(bool on);

}  // namespace lathe
