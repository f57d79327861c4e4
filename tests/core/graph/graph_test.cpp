#include "lathe/core/graph/trace.h"

#include <doctest/doctest.h>

#include <set>

#include "lathe/core/ops/add.h"
#include "lathe/core/ops/conv2d.h"
#include "lathe/core/ops/mul.h"
#include "lathe/core/ops/reshape.h"
#include "lathe/core/ops/scale.h"
#include "lathe/core/ops/sum.h"
#include "lathe/nn/blocks/basic_block.h"
#include "lathe/nn/layers/flatten.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/nn/mask.h"

using namespace lathe;

namespace {

std::vector<std::string> ops_of(const Graph& graph) {
    std::vector<std::string> found;
    for (const GraphNode& node : graph.nodes)
        if (node.is_op()) found.push_back(node.op);
    return found;
}

const GraphNode& only(const Graph& graph, const std::string& op, const std::string& path) {
    const GraphNode* found = nullptr;
    for (const GraphNode& node : graph.nodes)
        if (node.op == op && node.path == path) {
            check(!found, "two ", op, " of ", path);
            found = &node;
        }
    check(found, "no ", op, " of ", path);
    return *found;
}

}  // namespace

TEST_CASE("a graph has the values that enter and the ops in order of execution") {
    const Tensor two = Tensor::full({3}, 2);
    const Graph graph =
        trace([&](const Variable& x) { return ops::sum(ops::mul(ops::add(x, two), x), 1); }, Tensor::zeros({4, 3}));
    REQUIRE(graph.nodes.size() == 5);
    CHECK(graph.str() ==
          "%0 = input() [4, 3]  \n"
          "%1 = constant() [3]  \n"
          "%2 = add(%0, %1) [4, 3]  activation=none\n"
          "%3 = mul(%2, %0) [4, 3]  \n"
          "%4 = sum(%3) [4]  axis=1 keep_axis=0\n");
    CHECK(graph.inputs == std::vector<int>{0});
    CHECK(graph.output == 4);
    CHECK(graph.consumers(0) == std::vector<int>{2, 3});
    CHECK(graph.consumers(4).empty());
    CHECK(graph.nodes[1].value.shares_storage(two));
    CHECK_FALSE(graph.nodes[2].value);  // activations are not kept
    CHECK_FALSE(graph.nodes[1].is_op());
    CHECK(graph.nodes[4].is_op());
    CHECK(graph.nodes[4].seconds >= 0);
}

TEST_CASE("attributes and absent inputs of an op") {
    const Graph graph = trace(
        [](const Variable& x) {
            return ops::conv2d(x, Tensor::zeros({6, 3, 5, 2}), {},
                               {.stride = {2, 1}, .padding = {1, 2, 0, 3}, .dilation = {2, 1}, .groups = 2});
        },
        Tensor::zeros({1, 9, 8, 4}));
    const GraphNode& conv = graph.nodes[graph.output];
    CHECK(conv.op == "conv2d");
    CHECK(conv.shape == Shape{1, 4, 7, 6});
    CHECK(conv.attributes.integers("stride") == std::vector<int64_t>{2, 1});
    CHECK(conv.attributes.integers("padding") == std::vector<int64_t>{1, 2, 0, 3});
    CHECK(conv.attributes.integers("dilation") == std::vector<int64_t>{2, 1});
    CHECK(conv.inputs == std::vector<int>{graph.input(), 1, -1});
}

TEST_CASE("a reshape shares elements with its input and is a node of its own") {
    const Graph graph = trace(
        [](const Variable& x) {
            const Variable flat = ops::reshape(x, {6});
            return ops::add(flat, ops::reshape(ops::scale(x, 2), {6}));
        },
        Tensor::zeros({2, 3}));
    CHECK(ops_of(graph) == std::vector<std::string>{"reshape", "scale", "reshape", "add"});
    CHECK(graph.nodes[graph.output].inputs == std::vector<int>{1, 3});
}

TEST_CASE("a module's graph names layers, parameters and buffers, and leaves the module as it was") {
    nn::Sequential net;
    net.add<nn::BasicBlock>("block", {.in = 3, .out = 5, .stride = 2, .shortcut = nn::Shortcut::projection});
    net.add<nn::Flatten>("flatten");
    net.add<nn::Linear>("fc", {.in = 5 * 4, .out = 2, .pixels = 4});
    const Graph graph = trace(net, Tensor::zeros({1, 4, 4, 3}));
    CHECK(net.training());
    CHECK(ops_of(graph) == std::vector<std::string>{"conv2d", "batch_norm", "conv2d", "batch_norm", "conv2d", "add",
                                                    "flatten", "linear"});

    const GraphNode& conv = only(graph, "conv2d", "block.conv2");
    REQUIRE(graph.parameter(conv, 1));
    CHECK(graph.parameter(conv, 1)->path == "block.conv2.weight");
    CHECK(graph.parameter(conv, 1)->value.shape() == Shape{5, 3, 3, 5});
    CHECK(graph.parameter(conv, 0) == nullptr);  // an activation
    CHECK(graph.parameter(conv, 9) == nullptr);
    CHECK(only(graph, "buffer", "block.bn1.running_var").value.shape() == Shape{5});

    // The sum reads both branches.
    const GraphNode& sum = only(graph, "add", "block");
    CHECK(graph.nodes[sum.inputs[0]].path != graph.nodes[sum.inputs[1]].path);
    CHECK(graph.consumers(graph.input()).size() == 2);
}

TEST_CASE("a parameter is found through the transforms of its weight") {
    nn::Linear layer({.in = 4, .out = 3});
    Tensor mask = Tensor::full({3, 4}, 1, DType::u8);
    mask.mutable_data<uint8_t>()[5] = 0;
    layer.weight.add_transform(std::make_unique<nn::Mask>(mask));
    layer(Tensor::zeros({1, 4}));  // an effective weight that was made before is traced, too
    const Graph graph = trace(layer, Tensor::zeros({2, 4}));
    CHECK(ops_of(graph) == std::vector<std::string>{"linear"});  // the node stands for the effective weight
    const GraphNode& linear = graph.nodes[graph.output];
    REQUIRE(graph.parameter(linear, 1));
    CHECK(graph.parameter(linear, 1)->path == "weight");
    CHECK(graph.parameter(linear, 1)->value.at(5) == 0);
    CHECK(graph.parameter(linear, 2)->path == "bias");
}

TEST_CASE("layers are named from the function that is traced, whoever calls it") {
    nn::Sequential net;
    net.add<nn::Linear>("fc", {.in = 3, .out = 2});
    const std::string outside = "outside";
    const PathScope scope(outside);
    const Graph graph = trace(net, Tensor::zeros({1, 3}));
    CHECK(graph[graph.output].path == "fc");
}

TEST_CASE("traces nest, and a failing one leaves nothing behind") {
    Graph inner;
    const Graph outer = trace(
        [&](const Variable& x) {
            inner = trace([](const Variable& y) { return ops::scale(y, 3); }, Tensor::zeros({2}));
            return ops::scale(ops::scale(x, 2), 2);
        },
        Tensor::zeros({5}));
    CHECK(ops_of(inner) == std::vector<std::string>{"scale"});
    CHECK(ops_of(outer) == std::vector<std::string>{"scale", "scale"});

    CHECK_THROWS_AS(trace([](const Variable& x) { return ops::add(x, Tensor::zeros({4})); }, Tensor::zeros({5})),
                    Error);
    CHECK(grad_enabled());
    CHECK_FALSE(detail::tracing());
    const Graph identity = trace([](const Variable& x) { return x; }, Tensor::zeros({5}));
    CHECK(identity.output == identity.input());
}

TEST_CASE("a graph with several inputs, and its shapes for other sizes of them") {
    const Graph graph = trace(
        [](const std::vector<Variable>& in) {
            const Variable joined = ops::add(ops::reshape(in[0], {2, 12}), in[1]);
            return ops::reshape(joined, {2, 3, 4});
        },
        {Tensor::zeros({2, 3, 4}), Tensor::zeros({2, 12})});
    CHECK(graph.inputs == std::vector<int>{0, 1});
    CHECK_NOTHROW(graph.check());
    const std::vector<Shape> shapes = graph.shapes({{5, 3, 4}, {5, 12}});
    CHECK(shapes[static_cast<size_t>(graph.output)] == Shape{5, 3, 4});
    CHECK_THROWS_WITH(graph.shapes({{5, 3, 4}, {4, 12}}),
                      "graph: node 3 (add): add: expected shapes that broadcast, got [5, 12] and [4, 12]");
    CHECK_THROWS_WITH(graph.input(), "graph: expected one input, got 2");
}

TEST_CASE("check finds what does not hold: order, attributes, arity, shapes, marks") {
    const Graph good = trace([](const Variable& x) { return ops::scale(ops::add(x, x), 2); }, Tensor::zeros({3}));
    CHECK_NOTHROW(good.check());
    const auto changed = [&](auto change) {
        Graph graph = good;
        change(graph);
        return graph;
    };
    CHECK_THROWS_WITH(changed([](Graph& g) { g[1].inputs[0] = 2; }).check(),
                      "graph: node 1 (add): expected inputs from nodes before it, got 2");
    CHECK_THROWS_WITH(changed([](Graph& g) { g[1].inputs.pop_back(); }).check(),
                      "graph: node 1 (add): add: expected 2 inputs, got 1");
    CHECK_THROWS_WITH(changed([](Graph& g) { g[2].shape = {4}; }).check(),
                      "graph: node 2 (scale): expected shape [3], got [4]");
    CHECK_THROWS_WITH(changed([](Graph& g) { g[2].attributes = {}; }).check(),
                      "graph: node 2 (scale): scale: the attribute 'factor' is missing");
    CHECK_THROWS_WITH(changed([](Graph& g) { g[2].op = "scaled"; }).check(),
                      "graph: node 2 (scaled): graph: no op is called 'scaled'");
    CHECK_THROWS_WITH(
        changed([](Graph& g) { g[1].activation = false; }).check(),
        "graph: node 1 (add): expected the mark of an activation where an input is one, and nowhere else");
    CHECK_THROWS_AS(changed([](Graph& g) { g.output = 9; }).check(), Error);
}

TEST_CASE("every node has a name of its own") {
    nn::Sequential net;
    net.add<nn::BasicBlock>("block", {.in = 3, .out = 4, .stride = 2});
    const Graph graph = trace(net, Tensor::zeros({1, 4, 4, 3}));
    const std::vector<std::string> names = graph.names();
    CHECK(std::set<std::string>(names.begin(), names.end()).size() == names.size());
    std::vector<std::string> ops;
    for (int i = 0; i < graph.size(); ++i)
        if (graph[i].is_op()) ops.push_back(names[static_cast<size_t>(i)]);
    CHECK(ops == std::vector<std::string>{"block.conv1", "block.bn1", "block.conv2", "block.bn2", "block",
                                          "block.pad_channels", "block.add"});
}
