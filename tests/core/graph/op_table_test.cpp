#include "lathe/core/graph/op_table.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <set>

#include "lathe/core/graph/cost.h"
#include "lathe/core/graph/trace.h"
#include "lathe/core/random.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/support/op_cases.h"

using namespace lathe;
using lathe::testing::op_cases;
using lathe::testing::OpCase;

namespace {

bool same_bits(const Tensor& a, const Tensor& b) {
    return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

// What a case did: its inputs as leaves, its graph, and the result.
struct Ran {
    std::vector<Variable> inputs;
    Graph graph;
    Tensor result;
};

Ran run(const OpCase& op) {
    Ran ran;
    Random random(7);
    for (const Shape& shape : op.inputs) ran.inputs.push_back(Variable::leaf(op.draw(shape, random)));
    std::vector<Tensor> values;
    for (const Variable& input : ran.inputs) values.push_back(input.value());
    seed(11);
    ran.graph = trace([&](const std::vector<Variable>&) {
        const Variable y = op.f(ran.inputs);
        ran.result = y.value();
        return y;
    }, values);
    return ran;
}

// The output of a traced graph, computed again op by op.
Variable rerun(const Ran& ran, Mode mode) {
    const Graph& graph = ran.graph;
    std::vector<Variable> values(graph.nodes.size());
    for (size_t i = 0; i < graph.inputs.size(); ++i) values[static_cast<size_t>(graph.inputs[i])] = ran.inputs[i];
    for (int i = 0; i < graph.size(); ++i) {
        const GraphNode& node = graph[i];
        if (!node.is_op()) {
            if (!node.activation) values[static_cast<size_t>(i)] = node.value;
            continue;
        }
        std::vector<Variable> inputs;
        for (int from : node.inputs) inputs.push_back(from < 0 ? Variable() : values[static_cast<size_t>(from)]);
        values[static_cast<size_t>(i)] = run_op(node.op, node.attributes, inputs, mode);
    }
    return values[static_cast<size_t>(graph.output)];
}

// Training statistics and dropout's draws make a difference; the cases of these ops run in training.
Mode mode_of(const OpCase& op) {
    static const std::set<std::string> training{"batch_norm", "dropout"};
    return training.count(op.op) && op.what.find("eval") == std::string::npos ? Mode::training : Mode::evaluation;
}

}  // namespace

TEST_CASE(
    "every op that is used has a complete row: it runs again to the same bits, and its shape rule says what came out") {
    std::set<std::string> seen;
    for (const OpCase& op : op_cases()) {
        INFO(op.op, ": ", op.what);
        const Ran ran = run(op);
        for (const GraphNode& node : ran.graph.nodes) {
            if (!node.is_op()) continue;
            INFO(node.op.name());
            REQUIRE(bool(node.op->run));
            REQUIRE(bool(node.op->shape));
            CHECK_NOTHROW(node.op->check_call(node.attributes, node.inputs.size()));
            CHECK(node.op->shape(node.attributes, ran.graph.input_shapes(node)) == node.shape);
            seen.insert(node.op);
        }
        CHECK_NOTHROW(ran.graph.check());
        if (op.op == "recompute") continue;  // a function, whose draws the case sees to
        seed(11);
        CHECK(same_bits(rerun(ran, mode_of(op)).value(), ran.result));
    }
    std::vector<std::string> unseen;
    for (const std::string& name : op_names())
        if (!seen.count(name) && name != "to_chwn" && name != "to_nhwc" && !name.starts_with("int_"))
            unseen.push_back(name);
    CHECK_MESSAGE(unseen.empty(), "no case runs ", unseen.empty() ? "" : unseen[0]);
}

TEST_CASE("what a row says of an op holds: views, elementwise, per channel, monotone, zero, probabilities") {
    for (const std::string& name : op_names()) {
        const OpInfo& op = op_info(name);
        INFO(name);
        if (name.starts_with("int_")) continue;  // those run in programs: tests/compress/integer
        if (op.traits.elementwise && op.min_inputs == 1 && op.max_inputs == 1 && !op.traits.view) {
            const Attributes attributes = name == "scale" ? Attributes{{"factor", 2.0}} : Attributes{};
            const Tensor x = Tensor::of<double>({1, 7}, {-4, -2.5, -0.5, 0, 0.75, 2, 8});
            const std::vector<Variable> inputs{x};
            const Tensor y = run_op(name, attributes, inputs).value();
            for (int64_t i = 0; i < x.numel(); ++i) {
                const std::vector<Variable> one{Tensor::of<double>({1, 1}, {x.at(i)})};
                CHECK(run_op(name, attributes, one).value().item() == y.at(i));  // alone as beside others
                if (i > 0 && op.traits.monotone) CHECK(y.at(i) >= y.at(i - 1));
            }
            CHECK(op.traits.keeps_zero == (y.at(3) == 0));
            CHECK(op.traits.per_channel);
        }
        if (op.traits.probabilities) {
            const std::vector<Variable> inputs{Tensor::of<double>({1, 3}, {-1, 0, 2})};
            const Tensor y = run_op(name, {}, inputs).value();
            double sum = 0;
            for (int64_t i = 0; i < y.numel(); ++i) sum += y.at(i) < 0 ? std::exp(y.at(i)) : y.at(i);
            CHECK(sum == doctest::Approx(1));
        }
        if (op.fused) CHECK(bool(op_info(op.fused).layer));
        if (op.traits.lab_macs) CHECK_FALSE(bool(op.macs));
    }
    const std::vector<Variable> x{Tensor::full({2, 3, 4}, 1)};
    CHECK(run_op("reshape", {{"shape", std::vector<int64_t>{0, -1}}}, x).value().shares_storage(x[0].value()));
    CHECK(run_op("flatten", {{"start_axis", int64_t{1}}}, x).value().shares_storage(x[0].value()));
}

TEST_CASE("multiply-accumulates come from the rows: matrix products, layers, layers with a maximum behind") {
    const auto count = [](const char* op, const Attributes& a, std::vector<Shape> shapes) {
        const OpInfo& row = op_info(op);
        return row.macs(a, shapes, row.shape(a, shapes));
    };
    CHECK(count("matmul", {}, {{3, 16, 8}, {3, 8, 16}}) == 3 * 16 * 16 * 8);
    CHECK(count("linear", {}, {{5, 7}, {3, 7}, {3}}) == 5 * 7 * 3);
    const Attributes conv = with_defaults(op_info("conv2d"), {{"padding", std::vector<int64_t>{1, 1, 1, 1}}});
    CHECK(count("conv2d", conv, {{2, 8, 8, 4}, {6, 3, 3, 4}, {6}}) == 2 * 8 * 8 * 6 * 3 * 3 * 4);
    Attributes fused = with_defaults(op_info("conv2d_fused"), conv);
    const std::vector<Shape> shapes{{2, 8, 8, 4}, {6, 3, 3, 4}, {6}, kAbsent};
    fused.set("max_pool", int64_t{2});
    CHECK(op_info("conv2d_fused").shape(fused, shapes) == Shape{2, 4, 4, 6});
    CHECK(count("conv2d_fused", fused, shapes) == 2 * 8 * 8 * 6 * 3 * 3 * 4);
}

TEST_CASE("a call that an op does not take is an error with its name") {
    const std::vector<Variable> x{Tensor::zeros({2, 3})};
    const std::vector<Variable> two{x[0], x[0]};
    CHECK_THROWS_WITH(run_op("mystery", {}, x), "graph: cannot run 'mystery'");
    CHECK_THROWS_WITH(run_op("relu", {}, two), "relu: expected 1 inputs, got 2");
    CHECK_THROWS_WITH(run_op("relu", {{"slope", 0.1}}, x), "relu: no attribute is called 'slope'");
    CHECK_THROWS_WITH(run_op("scale", {{"facto", 0.1}}, x), "scale: the attribute 'factor' is missing");
    CHECK_THROWS_WITH(run_op("scale", {{"factor", 0.1}, {"facto", 0.1}}, x),
                      "scale: no attribute is called 'facto'; did you mean 'factor'?");
    CHECK_THROWS_WITH(run_op("scale", {{"factor", int64_t{1}}}, x),
                      "scale: expected a number for the attribute 'factor'");
    CHECK_THROWS_WITH(op_info("rellu"), "no op is called 'rellu'; did you mean 'relu'?");
}

TEST_CASE("an op of a user's own can have a row") {
    register_op({.name = "doubled",
                 .run = [](const Attributes&, Inputs x, Mode) { return run_op("scale", {{"factor", 2.0}}, x); },
                 .shape = [](const Attributes&, Shapes x) { return x[0]; }});
    CHECK(run_op("doubled", {}, std::vector<Variable>{Tensor::full({1}, 3)}).value().item() == 6);
    CHECK_THROWS_WITH(register_op(op_info("doubled")), "register_op: the name 'doubled' is taken");
    CHECK_THROWS_WITH(register_op(op_info("relu")), "register_op: the name 'relu' is taken");
}

TEST_CASE("batch norm and dropout follow the mode; a frozen norm does not train") {
    const Tensor x = Tensor::of<float>({2, 1}, {1, 3});
    const auto norm = [&](Mode mode, bool trainable) {
        Variable weight = Variable::leaf(Tensor::full({1}, 1));
        weight.node()->requires_grad = trainable;
        const Tensor mean = Tensor::zeros({1}), variance = Tensor::full({1}, 1);
        const std::vector<Variable> inputs{x, weight, Variable::leaf(Tensor::zeros({1})), mean, variance};
        run_op("batch_norm", {{"momentum", 0.5}, {"eps", 0.0}, {"activation", std::string("none")}}, inputs, mode);
        return mean.item();
    };
    CHECK(norm(Mode::training, true) == 1);
    CHECK(norm(Mode::training, false) == 0);
    CHECK(norm(Mode::evaluation, true) == 0);
    const std::vector<Variable> one{x};
    CHECK(run_op("dropout", {{"p", 0.5}}, one, Mode::evaluation).value().shares_storage(x));
    CHECK_FALSE(run_op("dropout", {{"p", 0.5}}, one, Mode::training).value().shares_storage(x));
}

// lathe-tests -ns -tc='*time of every op*' prints it.
TEST_CASE("time of every op" * doctest::skip()) {
    for (const OpCase& op : op_cases()) {
        Random random(7);
        std::vector<Variable> inputs;
        for (const Shape& shape : op.inputs) inputs.emplace_back(op.draw(shape, random));
        const NoGrad no_grad;
        double best = 1e9;
        for (int i = 0; i < 20; ++i) {
            const auto begin = std::chrono::steady_clock::now();
            op.f(inputs);
            best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
        }
        std::printf("%-20s %-50s %8.2f us\n", op.op.c_str(), op.what.c_str(), 1e6 * best);
    }
}

// lathe-tests -ns -tc='*shapes and costs of a deep network*' prints it.
TEST_CASE("shapes and costs of a deep network" * doctest::skip()) {
    const auto model = nn::make_model("mobilenetv2");
    const Graph graph = nn::trace(*model, Tensor::zeros({1, 32, 32, 3}));
    double best = 1e9;
    for (int i = 0; i < 200; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        const std::vector<Shape> shapes = graph.shapes({{8, 32, 32, 3}});
        volatile int64_t total = macs(graph);
        (void)total;
        best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    int ops = 0;
    for (const GraphNode& node : graph.nodes) ops += node.is_op();
    std::printf("%d ops: %.1f us\n", ops, 1e6 * best);
}
