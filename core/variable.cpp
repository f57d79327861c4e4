#include "lathe/core/variable.h"

#include <algorithm>
#include <atomic>

#include "lathe/core/ops/accumulate.h"

namespace lathe {

namespace {

thread_local bool recording = true;
std::atomic<uint64_t> next_sequence{1};

// Adds g to what has arrived at the node. A gradient may be shared (an addition hands the same one to both inputs), so
// only a tensor that nobody else holds is added to in place.
void receive(Node& node, Tensor g, const char* from) {
    check(g.shape() == node.shape, from, " backward: expected a gradient of shape ", node.shape, ", got ", g.shape());
    if (!node.grad)
        node.grad = std::move(g);
    else
        accumulate(node.grad, std::move(g));
}

// The nodes that `root` depends on and that want gradients, latest first.
std::vector<Node*> reachable(Node* root) {
    static std::atomic<uint64_t> pass{0};
    const uint64_t mark = ++pass;
    std::vector<Node*> found{root};
    root->visited = mark;
    for (size_t i = 0; i < found.size(); ++i)
        for (const auto& input : found[i]->inputs)
            if (input && input->visited != mark) {
                input->visited = mark;
                found.push_back(input.get());
            }
    std::sort(found.begin(), found.end(), [](const Node* a, const Node* b) { return a->sequence > b->sequence; });
    return found;
}

}  // namespace

Node::~Node() {
    std::vector<std::shared_ptr<Node>> chain = std::move(inputs);
    backward = nullptr;
    while (!chain.empty()) {
        std::shared_ptr<Node> node = std::move(chain.back());
        chain.pop_back();
        if (node && node.use_count() == 1) {
            for (auto& input : node->inputs) chain.push_back(std::move(input));
            node->inputs.clear();
        }
    }
}

Variable Variable::leaf(Tensor value) {
    check(is_float(value.dtype()), "leaf: expected a floating type, got ", name_of(value.dtype()));
    auto node = std::make_shared<Node>();
    node->shape = value.shape();
    node->requires_grad = true;
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
    receive(*output.node(), std::move(dy), "output");
    for (Node* node : reachable(output.node().get())) {
        check(!node->used, node->op, " backward: this part of the tape was walked before and is freed");
        if (!node->backward || !node->grad) continue;
        BackwardFn step = std::move(node->backward);
        node->backward = nullptr;
        node->used = true;
        Gradients gradients = step(std::move(node->grad));
        step = nullptr;
        node->grad = {};
        check(gradients.size() == node->inputs.size(), node->op, " backward: expected ", node->inputs.size(),
              " gradients, got ", gradients.size());
        for (size_t i = 0; i < gradients.size(); ++i)
            if (node->inputs[i] && gradients[i]) receive(*node->inputs[i], std::move(gradients[i]), node->op);
    }
}

NoGrad::NoGrad() : before_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = before_; }
bool grad_enabled() { return recording; }

namespace detail {

bool wants_node(const Inputs& inputs) {
    if (!recording) return false;
    return std::any_of(inputs.begin(), inputs.end(), [](const Variable* x) { return x->requires_grad(); });
}

Variable record(const char* op, const Inputs& inputs, Tensor y, BackwardFn backward) {
    auto node = std::make_shared<Node>();
    node->op = op;
    node->sequence = next_sequence++;
    node->inputs.reserve(inputs.size());
    for (const Variable* x : inputs) node->inputs.push_back(x->requires_grad() ? x->node() : nullptr);
    node->backward = std::move(backward);
    node->shape = y.shape();
    node->requires_grad = true;
    return {std::move(y), std::move(node)};
}

}  // namespace detail

}  // namespace lathe
