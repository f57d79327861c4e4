#include "lathe/core/graph/memory_plan.h"

#include <doctest/doctest.h>

#include "lathe/core/random.h"
#include "lathe/nn/blocks/squeeze_excite.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

// A graph of activations of `floats` elements each: node 0 is the input, the last one the output.
struct Sketch {
    Graph graph;
    int add(const char* op, std::vector<int> inputs, int64_t floats) {
        graph.nodes.push_back({.op = op, .inputs = std::move(inputs), .shape = {floats}, .activation = true});
        graph.output = graph.size() - 1;
        return graph.output;
    }
    explicit Sketch(int64_t floats) { graph.inputs = {add("input", {}, floats)}; }
};

MemoryPlan checked(const Graph& graph, const PlanOptions& options = {}) {
    MemoryPlan plan = plan_memory(graph, options);
    plan.check(graph);
    return plan;
}

// The most bytes alive at once, counted from readers alone.
int64_t alive_bytes(const Graph& graph) {
    int64_t most = 0;
    for (int i = 0; i < graph.size(); ++i) {
        int64_t sum = 0;
        for (int k = 0; k <= i; ++k) {
            bool needed = k == i || graph.output == k;
            for (int reader : graph.consumers(k)) needed |= reader >= i;
            if (needed) sum += graph[k].shape.numel() * 4;
        }
        most = std::max(most, sum);
    }
    return most;
}

}  // namespace

TEST_CASE("memory plan: a chain of two buffers, by hand") {
    Sketch s(4);
    int x = 0;
    for (int64_t floats : {8, 2, 6}) x = s.add("max_pool2d", {x}, floats);
    const MemoryPlan plan = checked(s.graph, {.alignment = 1});
    REQUIRE(plan.buffers.size() == 4);
    CHECK(plan.buffer_of == std::vector<int>{0, 1, 2, 3});
    CHECK(plan.buffers[0].last == 1);
    CHECK(plan.buffers[3].last == 4);
    CHECK(plan.lower_bound == (4 + 8) * 4);
    CHECK(plan.busiest == 1);
    CHECK(plan.total == (4 + 8) * 4);
    CHECK(plan.alive_at(2) == std::vector<int>{1, 2});
    CHECK(checked(s.graph).total == 64 + 64);  // each a multiple of 64
}

TEST_CASE("memory plan: views share, elementwise ops write over what nobody reads later") {
    Sketch s(8);
    const int a = s.add("max_pool2d", {0}, 8);
    const int view = s.add("reshape", {a}, 8);
    const int relu = s.add("relu", {view}, 8);
    const int product = s.add("mul", {relu, 0}, 8);
    const int last = s.add("softmax", {product}, 8);
    const MemoryPlan plan = checked(s.graph, {.alignment = 1});
    CHECK(plan.buffer_of == std::vector<int>{0, 1, 1, 1, 1, 2});
    CHECK(plan.buffers[1].first == a);
    CHECK(plan.buffers[1].last == last);
    CHECK(plan.total == 2 * 32);
    const MemoryPlan apart = checked(s.graph, {.in_place = false, .alignment = 1});
    CHECK(apart.buffer_of == std::vector<int>{0, 1, 1, 2, 3, 4});
    CHECK(apart.lower_bound == 3 * 32);

    SUBCASE("not over the output, not over what is read later, not over a smaller value") {
        Sketch t(8);
        const int first = t.add("max_pool2d", {0}, 8), small = t.add("softmax", {first}, 1);
        t.add("add", {small, first}, 8);      // over first
        t.add("relu", {first + 2}, 8);        // over that
        t.add("sub", {first + 3, first}, 8);  // first was read again: the addition must not have been written over it
        CHECK(checked(t.graph).buffer_of == std::vector<int>{0, 1, 2, 3, 3, 3});
    }
    SUBCASE("values kept elsewhere have no buffer, and their views have none") {
        const MemoryPlan rest =
            checked(s.graph, {.alignment = 1, .elsewhere = {true, true, false, false, false, true}});
        CHECK(rest.buffer_of == std::vector<int>{-1, -1, -1, 0, 0, -1});
        CHECK(rest.total == 32);
    }
}

TEST_CASE("memory plan: a fused layer adds onto its addend, unless it reads that as well") {
    Graph graph;
    const auto add = [&](const char* op, std::vector<int> inputs, bool activation) {
        graph.nodes.push_back({.op = op, .inputs = std::move(inputs), .shape = {1, 2, 2, 4}, .activation = activation});
        graph.output = graph.size() - 1;
        return graph.output;
    };
    graph.inputs = {add("input", {}, true)};
    const int weight = add("constant", {}, false);
    const int a = add("max_pool2d", {0}, true), b = add("max_pool2d", {a}, true);
    const int sum = add("conv2d_fused", {b, weight, -1, a}, true);
    add("conv2d_fused", {sum, weight, -1, sum}, true);
    CHECK(checked(graph).buffer_of == std::vector<int>{0, -1, 1, 2, 1, 3});
}

TEST_CASE("memory plan: random graphs; never below the bound, which is what readers need") {
    Random random(7);
    double worst = 1;
    for (int round = 0; round < 300; ++round) {
        Sketch s(1 + random.below(60));
        const int64_t count = 2 + random.below(40);
        for (int64_t i = 0; i < count; ++i) {
            const auto any = [&] {
                return s.graph.size() - 1 - static_cast<int>(random.below(std::min(6, s.graph.size())));
            };
            const int from = any();
            const int64_t floats = s.graph[from].shape.numel();
            switch (random.below(4)) {
                case 0: s.add("reshape", {from}, floats); break;
                case 1: s.add("relu", {from}, floats); break;
                case 2: s.add("add", {any(), from}, floats); break;
                default: s.add("softmax", {from}, 1 + random.below(60));
            }
        }
        for (const PlanOptions& options : {PlanOptions{}, PlanOptions{.in_place = false, .alignment = 4}}) {
            const MemoryPlan plan = checked(s.graph, options);
            worst = std::max(worst, static_cast<double>(plan.total) / static_cast<double>(plan.lower_bound));
        }
        Graph without_views = s.graph;
        for (GraphNode& node : without_views.nodes)
            if (node.op == "reshape") node.op = "softmax";
        CHECK(checked(without_views, {.in_place = false, .alignment = 1}).lower_bound == alive_bytes(without_views));
    }
    CHECK(worst < 1.5);
}

TEST_CASE("memory plan: what check() refuses") {
    Sketch s(16);
    int x = 0;
    for (int i = 0; i < 3; ++i) x = s.add("max_pool2d", {x}, 16);
    const MemoryPlan plan = checked(s.graph);
    const auto error = [&](const std::function<void(MemoryPlan&)>& change) {
        MemoryPlan changed = plan;
        change(changed);
        return message_of([&] { changed.check(s.graph); });
    };
    CHECK(error([](MemoryPlan& p) { p.buffers[1].offset = p.buffers[0].offset + 32; }) ==
          "memory plan: buffers 0 and 1 share memory and are both alive");
    CHECK(error([](MemoryPlan& p) { p.buffers[1].last = 1; }) == "memory plan: node 2 reads a buffer after its end");
    CHECK(error([](MemoryPlan& p) { p.total -= 64; }) ==
          "memory plan: expected 128 bytes in all and at least 128, got 64");
    Sketch twice(16);
    const int y = twice.add("relu", {0}, 16);
    twice.add("add", {y, 0}, 16);
    MemoryPlan wrong = checked(twice.graph);
    CHECK(wrong.buffer_of == std::vector<int>{0, 1, 1});
    wrong.buffer_of[1] = 0;
    CHECK(message_of([&] { wrong.check(twice.graph); }) ==
          "memory plan: node 2 reads node 0, over which node 1 has written");
}

TEST_CASE("memory plan: the networks of the zoo, and a squeezed block") {
    for (const std::string& name : nn::model_names()) {
        INFO(name);
        nn::ModelOptions options;
        if (name == "mobilenetv2") options.input = {64, 64, 3};
        const auto model = nn::make_model(name, options);
        const MemoryPlan plan = checked(nn::trace(*model, model->example()));
        CHECK(plan.total == plan.lower_bound);
    }
    nn::SqueezeExcite block({.channels = 8, .squeezed = 2});
    const Graph graph = nn::trace(block, random_tensor({1, 6, 6, 8}));
    CHECK(checked(graph, {.alignment = 1}).lower_bound == 36 * 8 * 4 + 8 * 4 + 2 * 4);  // the product is written over x
}
