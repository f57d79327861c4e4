#include <doctest/doctest.h>

#include <algorithm>

#include "lathe/core/graph/fold.h"
#include "lathe/nn/graph_module.h"
#include "lathe/nn/models/lenet5.h"
#include "lathe/tests/nn/random_tensor.h"

// The exercise of nn/README.md, stop 4, solved: a function from graph to graph.
using namespace lathe;
using namespace lathe::testing;

namespace {

// The network with every relu bounded at 6.
Graph with_relu6(Graph graph) {
    for (GraphNode& node : graph.nodes)
        if (node.op == "relu") node.op = "relu6";
    return graph;
}

int64_t count(const Graph& graph, const char* op) {
    return std::count_if(graph.nodes.begin(), graph.nodes.end(), [&](const GraphNode& node) { return node.op == op; });
}

}  // namespace

TEST_CASE("a pass that exchanges an op: the graph holds, folds, and as a module trains the network's own parameters") {
    seed(1);
    nn::Model model = nn::models::lenet5();
    const Tensor x = model.example(2);
    const Graph graph = with_relu6(nn::trace(model, x));
    CHECK_NOTHROW(graph.check());
    CHECK(count(graph, "relu") == 0);
    CHECK(count(graph, "relu6") == 4);
    CHECK(count(fold(graph), "relu6") == 0);  // part of the layers before them
    CHECK(count(fold(graph), "conv2d_fused") == 2);

    nn::GraphModule bounded(graph, model);
    Tensor large = x.clone();
    for (int64_t i = 0; i < large.numel(); ++i) large.mutable_data<float>()[i] *= 100;
    const Variable a = model(large), b = bounded(large);
    CHECK_FALSE(same(a.value(), b.value()));
    backward(b, Tensor::full(b.shape(), 1));
    CHECK(model.named_parameters("conv1.weight")[0].second->grad().shape() == Shape{6, 5, 5, 1});
}
