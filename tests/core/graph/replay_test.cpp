#include "lathe/core/graph/replay.h"

#include <doctest/doctest.h>

#include <cstring>
#include <set>

#include "lathe/tests/support/op_cases.h"

using namespace lathe;
using lathe::testing::op_cases;
using lathe::testing::OpCase;

namespace {

// The output of a traced graph, computed again op by op.
Variable rerun(const Graph& graph, const Tensor& input) {
    std::vector<Variable> values(graph.nodes.size());
    for (size_t i = 0; i < graph.nodes.size(); ++i) {
        const GraphNode& node = graph.nodes[i];
        if (!node.is_op()) {
            values[i] = static_cast<int>(i) == graph.input ? input : node.value;
            continue;
        }
        std::vector<Variable> inputs;
        for (int from : node.inputs) inputs.push_back(from < 0 ? Variable() : values[static_cast<size_t>(from)]);
        values[i] = replay(node, inputs);
    }
    return values[static_cast<size_t>(graph.output)];
}

bool same_bits(const Tensor& a, const Tensor& b) {
    return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

}  // namespace

TEST_CASE("every op but losses and dropout runs again from its name and attributes, to the same bits") {
    const std::set<std::string> others{"cross_entropy", "soft_cross_entropy", "kl_div", "mse", "l1", "dropout", "recompute"};
    int checked = 0;
    for (const OpCase& op : op_cases()) {
        if (others.count(op.op)) continue;
        INFO(op.op, ": ", op.what);
        Random random(7);
        std::vector<Variable> inputs;
        for (const Shape& shape : op.inputs) inputs.emplace_back(op.draw(shape, random));
        Variable expected;
        const Graph graph = trace([&](const Variable& x) { inputs[0] = x; return expected = op.f(inputs); }, inputs[0].value());
        CHECK(same_bits(rerun(graph, inputs[0].value()).value(), expected.value()));
        ++checked;
    }
    CHECK(checked > 60);
}

TEST_CASE("an op that cannot run again is an error with its name") {
    CHECK_THROWS_WITH(replay({.op = "mystery"}, {}), "replay: cannot run 'mystery' again");
}
