#include "lathe/core/tape/variable.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "lathe/core/tape/accumulate.h"

namespace lathe {

namespace {

thread_local detail::Recording recording;
std::atomic<uint64_t> next_sequence{1};

bool is_leaf(const Node& node) { return node.inputs.empty(); }

// Adds g to what has arrived at the node. A gradient may be shared (an addition hands the same one to both inputs), so
// only a tensor that nobody else holds is added to in place, and a leaf, whose gradient others may change, gets its
// own.
void receive(Node& node, Tensor g, const char* from) {
    check(g.shape() == node.shape, from, " backward: expected a gradient of shape ", node.shape, ", got ", g.shape());
    if (node.grad)
        accumulate(node.grad, std::move(g));
    else
        node.grad = is_leaf(node) && !g.unique() ? g.clone() : std::move(g);
}

// The nodes that `root` depends on and that want gradients, latest first. Error: backward has been there before.
std::vector<Node*> reachable(Node* root) {
    static std::atomic<uint64_t> pass{0};
    const uint64_t mark = ++pass;
    std::vector<Node*> found;
    found.reserve(128);
    found.push_back(root);
    root->visited = mark;
    for (size_t i = 0; i < found.size(); ++i) {
        const Node& node = *found[i];
        check(!node.used, node.op, " backward: this part of the tape was walked before and is freed");
        check(node.sequence > recording.tape || is_leaf(node),
              "recompute: expected a function of its argument and of leaves, "
              "got one that uses another variable, made by ",
              node.op);
        for (size_t k = 0; k < node.inputs.size(); ++k) {
            Node* input = node.inputs[k].get();
            if (input && input->visited != mark) {
                input->visited = mark;
                found.push_back(input);
            }
        }
    }
    std::sort(found.begin(), found.end(), [](const Node* a, const Node* b) { return a->sequence > b->sequence; });
    return found;
}

}  // namespace

Node::~Node() {
    std::vector<std::shared_ptr<Node>> chain;
    const auto take_inputs = [&chain](Node& node) {
        for (size_t i = 0; i < node.inputs.size(); ++i) {
            std::shared_ptr<Node> input = std::move(node.inputs[i]);  // an op may have the same input twice
            if (input.use_count() == 1 && !is_leaf(*input)) chain.push_back(std::move(input));
        }
    };
    take_inputs(*this);
    while (!chain.empty()) {
        const std::shared_ptr<Node> node = std::move(chain.back());
        chain.pop_back();
        take_inputs(*node);
    }
}

Variable Variable::leaf(Tensor value) {
    check(is_float(value.dtype()), "leaf: expected a floating type, got ", name_of(value.dtype()));
    auto node = std::make_shared<Node>();
    node->shape = value.shape();
    return {std::move(value), std::move(node)};
}

const Tensor& Variable::grad() const {
    static const Tensor none;
    return node_ ? node_->grad : none;
}

void Variable::zero_grad() {
    if (node_) node_->grad = {};
}

void backward(const Variable& output) {
    check(output.value().numel() == 1, "backward: expected a single number, got shape ", output.shape(),
          " (pass the gradient of the output)");
    backward(output, Tensor::full(output.shape(), 1.0, output.dtype()));
}

void backward(const Variable& output, Tensor dy) {
    check(output.requires_grad(), "backward: the output depends on nothing that wants a gradient");
    const std::vector<Node*> nodes = reachable(output.node().get());
    receive(*output.node(), std::move(dy), "output");
    for (Node* node : nodes) {
        if (is_leaf(*node) || !node->grad) continue;
        node->used = true;
        Gradients gradients = node->backward(std::exchange(node->grad, {}));
        check(gradients.size() == node->inputs.size(), node->op, " backward: expected ", node->inputs.size(),
              " gradients, got ", gradients.size());
        for (size_t i = 0; i < gradients.size(); ++i)
            if (node->inputs[i] && gradients[i]) receive(*node->inputs[i], std::move(gradients[i]), node->op);
        if (detail::tracing()) [[unlikely]]
            detail::trace_backward(*node);
    }
}

NoGrad::NoGrad() : before_(std::exchange(recording.on, false)) {}
NoGrad::~NoGrad() { recording.on = before_; }
bool grad_enabled() { return recording.on; }
bool recomputing() { return recording.again; }

namespace detail {

TapeScope::TapeScope(bool again) : before_(recording) { recording = {true, before_.again || again, next_sequence++}; }
TapeScope::~TapeScope() { recording = before_; }
uint64_t tape() { return recording.tape; }

bool wants_node(const Inputs& inputs) {
    if (!recording.on) return false;
    for (size_t i = 0; i < inputs.size(); ++i)
        if (inputs[i]->requires_grad()) return true;
    return false;
}

void connect(Node& node, const char* op, const Inputs& inputs, const Shape& shape) {
    node.op = op;
    node.sequence = next_sequence++;
    node.shape = shape;
    for (size_t i = 0; i < inputs.size(); ++i)
        node.inputs.push_back(inputs[i]->requires_grad() ? inputs[i]->node() : nullptr);
}

}  // namespace detail

}  // namespace lathe
