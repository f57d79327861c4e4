#include <doctest/doctest.h>

#include <cstring>
#include <set>

#include "lathe/core/graph/trace.h"
#include "lathe/core/random.h"
#include "lathe/tests/support/op_cases.h"

using namespace lathe;
using lathe::testing::op_cases;

namespace {

// The op once into a new tensor and once over its input k: the bits must be the same.
void check_over(const GraphNode& node, std::vector<Variable> inputs, size_t k) {
    const Tensor apart = run_op(node.op, node.attributes, inputs).value();
    Tensor memory = inputs[k].value().clone();
    const Variable borrowed = Tensor::borrow(memory.mutable_raw(), memory.shape(), memory.dtype());
    for (size_t other = 0; other < inputs.size(); ++other)
        if (other != k && inputs[other] && inputs[other].value().raw() == inputs[k].value().raw())
            inputs[other] = borrowed;
    inputs[k] = borrowed;
    const PlaceNextTensor place(memory.mutable_raw(), memory.bytes());
    const Tensor over = run_op(node.op, node.attributes, inputs).value();
    CHECK(over.raw() == memory.raw());
    CHECK(std::memcmp(apart.raw(), memory.raw(), memory.bytes()) == 0);
}

}  // namespace

TEST_CASE("elementwise ops give the same bits when they write over an input of the result's shape") {
    const NoGrad no_grad;
    std::set<std::string> seen;
    for (const auto& op : op_cases())
        for (DType dtype : {DType::f64, DType::f32}) {
            INFO(op.op, ": ", op.what);
            Random random(7);
            std::vector<Variable> inputs;
            for (const Shape& shape : op.inputs) inputs.push_back(op.draw(shape, random).to(dtype));
            std::vector<Tensor> tensors;
            for (const Variable& input : inputs) tensors.push_back(input.value());
            Graph graph;
            try {
                graph = trace([&](const std::vector<Variable>& x) { return op.f({x.begin(), x.end()}); }, tensors);
            } catch (const Error&) {
                continue;  // a case of another type
            }
            std::vector<Variable> values(graph.nodes.size());
            for (size_t i = 0; i < graph.inputs.size(); ++i) values[static_cast<size_t>(graph.inputs[i])] = inputs[i];
            for (int i = 0; i < graph.size(); ++i) {
                const GraphNode& node = graph[i];
                Variable& value = values[static_cast<size_t>(i)];
                if (!node.is_op()) {
                    if (!node.activation) value = node.value;
                    continue;
                }
                if (node.op->affine && node.inputs[3] < 0)
                    break;  // a batch norm without running statistics can only train
                std::vector<Variable> x;
                for (int from : node.inputs) x.push_back(from < 0 ? Variable() : values[static_cast<size_t>(from)]);
                value = run_op(node.op, node.attributes, x);
                for (size_t k = 0; node.op->traits.elementwise && k < x.size(); ++k)
                    if (x[k] && x[k].shape() == value.shape() && x[k].dtype() == value.dtype()) {
                        check_over(node, x, k);
                        seen.insert(node.op);
                    }
            }
        }
    for (const char* op : {"add", "mul", "sub", "scale", "relu", "sigmoid", "gelu", "hard_swish", "tanh"})
        CHECK(seen.contains(op));
}
