#pragma once
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "lathe/core/graph/attributes.h"
#include "lathe/core/small_vector.h"
#include "lathe/core/tensor.h"

namespace lathe {

class Variable;
// What backward returns: one gradient for each input of the op, in order; an empty tensor where none is needed.
using Gradients = SmallVector<Tensor, 3>;

// One recorded op, or a leaf (a parameter): where the gradient of a value goes.
struct Node {
    const char* op = "leaf";
    uint64_t sequence = 0;                          // order of recording; backward walks it downwards
    SmallVector<std::shared_ptr<Node>, 3> inputs;   // null where the input needs no gradient; none for a leaf
    Tensor grad;                                    // what has arrived so far, of the value's shape
    Shape shape;
    bool requires_grad = true;
    bool used = false;                              // backward has run through it
    uint64_t visited = 0;

    Node() = default;
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
    virtual ~Node();  // releases long chains without recursion
    virtual Gradients backward(Tensor) { return {}; }
};

// A tensor on the tape: a value and, when a gradient may flow through it, the node that made it. A cheap handle.
class Variable {
public:
    Variable() = default;
    Variable(Tensor value) : value_(std::move(value)) {}  // a constant
    Variable(Tensor value, std::shared_ptr<Node> node) : value_(std::move(value)), node_(std::move(node)) {}

    // A value whose gradient is kept in grad() by backward.
    static Variable leaf(Tensor value);

    explicit operator bool() const { return static_cast<bool>(value_); }
    const Tensor& value() const { return value_; }
    Tensor& value() { return value_; }
    const Shape& shape() const { return value_.shape(); }
    int64_t dim(int axis) const { return value_.dim(axis); }
    DType dtype() const { return value_.dtype(); }
    bool requires_grad() const { return node_ && node_->requires_grad; }

    // The accumulated gradient of a leaf; empty before the first backward.
    const Tensor& grad() const;
    void zero_grad();

    const std::shared_ptr<Node>& node() const { return node_; }

private:
    Tensor value_;
    std::shared_ptr<Node> node_;
};

// Adds the gradient of `output` (a single number, or given dy of its shape) to every leaf that it depends on.
// Intermediate gradients and saved values are freed as soon as they have been used, so the tape can be walked once.
// Error: output depends on no leaf, was walked before, or a value needed was overwritten in place.
void backward(const Variable& output);
void backward(const Variable& output, Tensor dy);

// While it lives, ops on this thread record nothing for backward.
class NoGrad {
public:
    NoGrad();
    ~NoGrad();
    NoGrad(const NoGrad&) = delete;
    NoGrad& operator=(const NoGrad&) = delete;

private:
    bool before_;
};
bool grad_enabled();

// Backward is running a function again whose values forward did not keep (recompute). What changes state when it
// runs, such as running statistics, leaves it alone then: that was done the first time.
bool recomputing();

// A value that an op's backward needs. Reading it after the value was overwritten in place is an Error. Kept only when
// `keep`: pass the condition under which backward will read it.
class Saved {
public:
    explicit Saved(const Variable& x, bool keep = true)
        : value_(keep ? x.value() : Tensor{}), version_(value_.version()), needs_(x.requires_grad()) {}
    explicit Saved(const Tensor& x) : Saved(Variable(x)) {}

    const Tensor& operator*() const {
        check(value_.version() == version_, "backward: a value needed for the gradient was changed in place after use");
        return value_;
    }
    const Tensor* operator->() const { return &**this; }
    bool needs() const { return needs_; }  // the variable wants a gradient

private:
    Tensor value_;
    uint32_t version_;
    bool needs_;
};

namespace detail {
using Inputs = SmallVector<const Variable*, 6>;
bool wants_node(const Inputs& inputs);
bool tracing();

// What a thread records on.
struct Recording {
    bool on = true;
    bool again = false;  // recomputing()
    uint64_t tape = 0;   // tells tapes apart; the nodes of this one have higher sequence numbers
};
uint64_t tape();

// While it lives, this thread records on a tape of its own, which shares nothing but leaves with the one outside.
class TapeScope {
public:
    explicit TapeScope(bool again);
    ~TapeScope();
    TapeScope(const TapeScope&) = delete;
    TapeScope& operator=(const TapeScope&) = delete;

private:
    Recording before_;
};

void connect(Node& node, const char* op, const Inputs& inputs, const Shape& shape);
void trace_op(const char* op, const Inputs& inputs, const Variable& y, Attributes attributes);
void trace_backward(const Node& node);

// A recorded op with its backward, which goes once it has run, and with it the values that it saved.
template <class Backward>
struct OpNode final : Node {
    explicit OpNode(Backward backward) : step(std::move(backward)) {}
    Gradients backward(Tensor dy) override {
        Gradients gradients = (*step)(std::move(dy));
        step.reset();
        return gradients;
    }
    std::optional<Backward> step;
};
}  // namespace detail

struct NoAttributes {
    Attributes operator()() const { return {}; }
};

// Every op ends here: makes the variable of its result y, with `backward` (dy -> Gradients, called at most once) when
// some input needs a gradient, and adds the op to the graph being traced, if any. `attributes` is a function, called
// only while tracing. The name is a string literal.
template <class Backward, class MakeAttributes = NoAttributes>
Variable record(const char* op, const detail::Inputs& inputs, Tensor y, Backward&& backward,
                MakeAttributes&& attributes = {}) {
    std::shared_ptr<Node> node;
    if (detail::wants_node(inputs)) {
        node = std::make_shared<detail::OpNode<std::decay_t<Backward>>>(std::forward<Backward>(backward));
        detail::connect(*node, op, inputs, y.shape());
    }
    Variable result(std::move(y), std::move(node));
    if (detail::tracing()) [[unlikely]]
        detail::trace_op(op, inputs, result, attributes());
    return result;
}

}  // namespace lathe
