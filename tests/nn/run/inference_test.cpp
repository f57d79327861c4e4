#include "lathe/nn/run/inference.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <atomic>
#include <cstring>
#include <thread>

#include "lathe/core/graph/cost.h"
#include "lathe/core/ops/activation.h"
#include "lathe/core/ops/add.h"
#include "lathe/core/ops/concat.h"
#include "lathe/core/ops/mul.h"
#include "lathe/core/ops/pool2d.h"
#include "lathe/core/memory.h"
#include "lathe/core/ops/reshape.h"
#include "lathe/core/ops/slice.h"
#include "lathe/core/ops/sub.h"
#include "lathe/core/ops/sum.h"
#include "lathe/core/parallel.h"
#include "lathe/core/random.h"
#include "lathe/nn/blocks/basic_block.h"
#include "lathe/nn/blocks/inverted_residual.h"
#include "lathe/nn/layers/embedding.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/nn/blocks/squeeze_excite.h"
#include "lathe/nn/run/layout.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/description.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/optim/toy.h"

using namespace lathe;
using namespace lathe::nn;
using lathe::testing::random_tensor;
using lathe::testing::same_bits;

namespace {

// Batch norms as after some training.
void settle(Module& module) {
    Random random(11);
    for (auto& [name, buffer] : module.named_buffers()) {
        float* to = buffer->mutable_data<float>();
        for (int64_t i = 0; i < buffer->numel(); ++i)
            to[i] = name.ends_with("var") ? 0.5f + static_cast<float>(random.uniform())
                                          : 0.3f * static_cast<float>(random.normal());
    }
    for (auto& [name, parameter] : module.named_parameters())
        if (parameter->shape().rank() == 1) {
            float* to = parameter->mutable_value().mutable_data<float>();
            for (int64_t i = 0; i < parameter->value().numel(); ++i)
                to[i] += 0.3f * static_cast<float>(random.normal());
        }
}

// Largest difference between the two results over the largest value.
double difference(const Tensor& a, const Tensor& b) {
    REQUIRE(a.shape() == b.shape());
    double apart = 0, largest = 0;
    for (int64_t i = 0; i < a.numel(); ++i) {
        apart = std::max(apart, std::abs(a.at(i) - b.at(i)));
        largest = std::max(largest, std::abs(b.at(i)));
    }
    return apart / largest;
}

Tensor evaluated(Module& module, const Tensor& x) {
    const ModeScope eval(module, false);
    const NoGrad no_grad;
    return module(x).value();
}

int count(const Graph& graph, const std::string& op) {
    return static_cast<int>(
        std::count_if(graph.nodes.begin(), graph.nodes.end(), [&](const GraphNode& node) { return node.op == op; }));
}

Shape batched(int64_t n, const Shape& shape) {
    Shape batch{n};
    for (int64_t extent : shape) batch.push_back(extent);
    return batch;
}

}  // namespace

TEST_CASE("every network of the zoo infers what it computes in evaluation mode, at any batch size") {
    for (const std::string& name : model_names()) {
        INFO(name);
        seed(5);
        ModelOptions options{.width = name == "vgg-cifar" ? 0.25 : 1.0};
        if (name == "mobilenetv2") options.input = {32, 32, 3};
        const auto model = make_model(name, options);
        settle(*model);
        const Tensor x = random_tensor(batched(3, model->input_shape()), 1);
        const Inference run(*model, x);
        CHECK(count(run.graph(), "batch_norm") == 0);
        CHECK(count(run.graph(), "relu") + count(run.graph(), "relu6") == 0);
        CHECK(difference(run(x), evaluated(*model, x)) < 2e-5);
        const Tensor one = x.rows(1, 1);
        CHECK(difference(run(one), evaluated(*model, one)) < 2e-5);
        CHECK(model->training());
    }
}

TEST_CASE("an inverted residual block is one step, unless something else reads a value inside") {
    const auto joined = [](const Inference& run) {
        return std::count_if(run.ops().begin(), run.ops().end(),
                             [](const Inference::Op& op) { return op.kernel == "inverted residual"; });
    };
    ModelOptions options;
    options.input = {32, 32, 3};
    const auto model = make_model("mobilenetv2", options);
    settle(*model);
    const Tensor x = model->example(5);
    const Inference run(*model, x), one(*model, model->example(1));
    CHECK(joined(run) == 16);  // all but the first, which does not expand
    int64_t counted = 0, defined = 0;
    for (int i = 0; i < run.graph().size(); ++i) {
        counted += run.ops()[static_cast<size_t>(i)].macs;
        defined += macs(run.graph(), run.graph()[i]);
    }
    CHECK(counted == defined);
    const Tensor y = run(x);
    for (int64_t n = 0; n < 5; ++n) CHECK(same_bits(run(x.rows(n, 1)), y.rows(n, 1)));
    CHECK(difference(one(x), y) < 1e-5);

    // The same block with a reader of its own for what each of the first two layers makes.
    const auto block = [](const std::string& read) {
        return model_from_description(R"({"input": [8, 8, 8], "layers": [
            {"name": "a", "op": "conv2d", "out": 24},
            {"name": "a6", "op": "relu6"},
            {"name": "b", "op": "conv2d", "out": 24, "kernel": 3, "padding": 1, "groups": 24},
            {"name": "b6", "op": "relu6"},
            {"name": "c", "op": "conv2d", "out": 8},
            {"name": "sum", "op": "add", "inputs": ["c", "input"]},
            {"name": "all", "op": "concat", "inputs": ["sum", ")" + read + R"("]},
            {"name": "pool", "op": "global_avg_pool"}, {"name": "fc", "op": "linear", "out": "classes"}],
            "classes": 3})", "net");
    };
    for (const auto& [read, expected] : {std::pair("sum", 1), std::pair("a6", 0), std::pair("b6", 0)}) {
        INFO(read);
        const auto net = block(read);
        net->eval();
        const Tensor images = random_tensor({3, 8, 8, 8}, 2);
        const Inference inference(*net, images);
        CHECK(joined(inference) == expected);
        const NoGrad no_grad;
        CHECK(difference(inference(images), (*net)(images).value()) < 1e-5);
    }
}

TEST_CASE("residual additions become part of the convolution before them") {
    const auto model = make_model("resnet20");
    const Inference run(*model, random_tensor({1, 32, 32, 3}, 1));
    CHECK(count(run.graph(), "add") == 0);
    CHECK(count(run.graph(), "conv2d_fused") == 19);
    BasicBlock block({.in = 8, .out = 8});
    settle(block);
    const Tensor x = random_tensor({2, 9, 7, 8}, 3), before = x.clone();
    const Inference of_block(block, x);
    CHECK(difference(of_block(x), evaluated(block, x)) < 1e-5);
    CHECK(std::memcmp(x.raw(), before.raw(), x.bytes()) == 0);  // the caller's tensor is the addend, and stays
}

TEST_CASE("a value that others read is not folded away") {
    struct Shared : Module {
        Conv2d conv{{.in = 4, .out = 4, .kernel = 3, .padding = 1}};
        BatchNorm bn{{.channels = 4}};
        Shared() { child("conv", conv), child("bn", bn); }
        Variable forward(const Variable& x) override {
            const Variable y = conv(x);
            return ops::add(ops::relu(bn(y)), ops::add(y, y));
        }
    } shared;
    settle(shared);
    const Tensor x = random_tensor({2, 5, 5, 4}, 1);
    const Inference run(shared, x);
    CHECK(count(run.graph(), "batch_norm") == 1);
    CHECK(difference(run(x), evaluated(shared, x)) < 1e-5);
}

TEST_CASE("masks, squeeze-and-excite and hard-swish are inferred, too") {
    InvertedResidual block({.in = 8, .out = 8, .expanded = 24, .activation = Activation::hard_swish, .squeezed = 8});
    settle(block);
    for (auto& [name, parameter] : block.named_parameters())
        if (parameter->shape().rank() == 4) {
            Tensor mask = Tensor::full(parameter->shape(), 1, DType::u8);
            for (int64_t i = 0; i < mask.numel(); i += 3) mask.mutable_data<uint8_t>()[i] = 0;
            parameter->add_transform(std::make_unique<Mask>(mask));
        }
    const Tensor x = random_tensor({2, 6, 6, 8}, 1);
    const Inference run(block, x);
    CHECK(difference(run(x), evaluated(block, x)) < 1e-5);
}

TEST_CASE("sparse kernels infer what the dense ones do") {
    for (const char* name : {"resnet20", "vgg-cifar"}) {
        INFO(name);
        const auto model = make_model(name, {.width = name == std::string("vgg-cifar") ? 0.5 : 1.0});
        settle(*model);
        Random random(3);
        for (auto& [parameter_name, parameter] : model->named_parameters())
            if (parameter->shape().rank() > 1) {
                Tensor mask(parameter->shape(), DType::u8);
                for (int64_t i = 0; i < mask.numel(); ++i) mask.mutable_data<uint8_t>()[i] = random.below(20) == 0;
                parameter->add_transform(std::make_unique<Mask>(mask));
            }
        const Tensor x = random_tensor({16, 32, 32, 3}, 1);
        const Inference run(*model, x);
        CHECK(difference(run(x), evaluated(*model, x)) < 2e-5);
    }
}

namespace {

// Masks that leave about the share `density` of every weight with more than one axis, depthwise ones kept whole.
void prune(Module& module, double density) {
    Random random(3);
    for (auto& [name, parameter] : module.named_parameters()) {
        const Shape& shape = parameter->shape();
        if (shape.rank() < 2 || (shape.rank() == 4 && shape[3] == 1)) continue;
        Tensor mask(shape, DType::u8);
        for (int64_t i = 0; i < mask.numel(); ++i) mask.mutable_data<uint8_t>()[i] = random.uniform() < density;
        parameter->add_transform(std::make_unique<Mask>(mask));
    }
}

bool in_chwn(const Graph& graph, const std::string& op) {
    return std::any_of(graph.nodes.begin(), graph.nodes.end(),
                       [&](const GraphNode& node) { return node.op == op && is_chwn(node); });
}

}  // namespace

TEST_CASE("pruned networks run in CHWN and infer what they compute, at any batch size") {
    for (const std::string name : {"resnet20", "mobilenetv2", "vgg-cifar"}) {
        INFO(name);
        seed(5);
        ModelOptions options{.width = name == "vgg-cifar" ? 0.25 : 0.5};
        if (name == "mobilenetv2") options.input = {32, 32, 3};
        if (name == "resnet20") options.width = 1;
        const auto model = make_model(name, options);
        settle(*model);
        prune(*model, 0.05);
        const Tensor x = random_tensor({33, 32, 32, 3}, 1), y = evaluated(*model, x);
        const Inference run(*model, x);
        CHECK(in_chwn(run.graph(), "conv2d_fused"));
        for (int64_t batch : {1, 15, 16, 17, 33}) {
            CAPTURE(batch);
            CHECK(difference(run(x.rows(0, batch)), y.rows(0, batch)) < 2e-5);
        }
        CHECK(run(x.rows(0, 0)).shape() == Shape{0, y.dim(1)});
    }
}

TEST_CASE(
    "layouts follow the costs: a pruned convolution in CHWN, a dense one in NHWC, what is symmetric beside them") {
    struct Mixed : Module {
        Conv2d first{{.in = 64, .out = 64, .kernel = 3, .padding = 1}},
            dense{{.in = 64, .out = 64, .kernel = 3, .padding = 1}};
        Conv2d last{{.in = 120, .out = 64, .kernel = 3, .padding = 1}};
        SqueezeExcite gate{{.channels = 64, .squeezed = 16, .gate = Activation::hard_sigmoid}};
        Mixed() { child("first", first), child("dense", dense), child("last", last), child("gate", gate); }
        Variable forward(const Variable& x) override {
            const Variable a = ops::max_pool2d(ops::relu(first(x)), 2);              // pooled by the convolution
            const Variable b = ops::avg_pool2d(gate(a), 3, {.stride = 1, .padding = 1});
            const Variable c = ops::slice(ops::concat({b, ops::relu(dense(a))}, 3), 3, 8, 120);
            const Variable d = ops::max_pool2d(last(c), 2);
            return ops::mul(ops::add(d, ops::hard_swish(d)), ops::sigmoid(d));
        }
    } net;
    const auto masked = [](Conv2d& layer) { prune(layer, 0.03); };
    masked(net.first);
    masked(net.last);
    const Tensor x = random_tensor({20, 18, 14, 64}, 1), y = evaluated(net, x);
    const Inference run(net, x);
    for (const GraphNode& node : run.graph().nodes) {
        if (node.op == "conv2d_fused" && node.path == "dense") CHECK_FALSE(is_chwn(node));
        if (node.op == "conv2d_fused" && (node.path == "first" || node.path == "last")) CHECK(is_chwn(node));
    }
    CHECK(in_chwn(run.graph(), "concat"));
    CHECK(in_chwn(run.graph(), "slice"));
    CHECK(in_chwn(run.graph(), "reshape"));
    CHECK(count(run.graph(), "to_nhwc") == 3);  // before the gate's dense layers, before the dense one and at the end
    for (int64_t batch : {1, 20}) CHECK(difference(run(x.rows(0, batch)), y.rows(0, batch)) < 2e-5);
    CHECK(count(Inference(net, x.rows(0, 1)).graph(), "to_chwn") == 0);  // one image fills no vector
}

TEST_CASE("dense networks stay in NHWC") {
    for (const char* name : {"resnet20", "vgg-cifar"}) {
        const auto model = make_model(name, {.width = name == std::string("vgg-cifar") ? 0.5 : 1.0});
        CHECK(count(Inference(*model, random_tensor({32, 32, 32, 3}, 1)).graph(), "to_chwn") == 0);
    }
}

TEST_CASE("inference gives the same bits for one and two threads, and keeps the weights it was made with") {
    const int before = threads();
    const auto model = make_model("resnet20");
    const Tensor x = random_tensor({2, 32, 32, 3}, 1);
    const Inference run(*model, x);
    set_threads(1);
    const Tensor one = run(x);
    set_threads(2);
    for (auto& [name, parameter] : model->named_parameters()) parameter->mutable_value().fill_(0);
    const Tensor two = run(x);
    set_threads(before);
    CHECK(std::memcmp(one.raw(), two.raw(), one.bytes()) == 0);
}

TEST_CASE("a large batch, whose first layers run for a few images at a time, gives the bits of a small one") {
    const int before = threads();
    ModelOptions options;
    options.input = {32, 32, 3};
    options.classes = 10;
    const auto model = make_model("mobilenetv2", options);
    settle(*model);
    const Tensor x = random_tensor({17, 32, 32, 3}, 1);
    const Inference run(*model, x);
    set_threads(2);
    const Tensor all = run(x);
    set_threads(1);
    CHECK(std::memcmp(all.raw(), run(x).raw(), all.bytes()) == 0);
    const Tensor few = run(x.rows(13, 4));
    CHECK(std::memcmp(all.rows(13, 4).raw(), few.raw(), few.bytes()) == 0);
    set_threads(before);
}

TEST_CASE("inference refuses inputs of another shape or type") {
    const auto model = make_model("lenet5");
    const Inference run(*model, random_tensor({4, 28, 28, 1}, 1));
    CHECK_THROWS_WITH(run(random_tensor({4, 27, 28, 1}, 1)),
                      "inference: expected an input like [4, 28, 28, 1] of type f32, got f32 [4, 27, 28, 1]");
    // Three channels of images would make three groups of one.
    CHECK_THROWS_WITH(run(random_tensor({4, 28, 28, 3}, 1)),
                      "inference: expected an input like [4, 28, 28, 1] of type f32, got f32 [4, 28, 28, 3]");
    CHECK_THROWS_AS(run(Tensor::zeros({4, 28, 28, 1}, DType::f64)), Error);
    const std::vector<Inference::Cost> costs = run.measure(random_tensor({2, 28, 28, 1}, 1));
    REQUIRE(costs.size() == run.graph().nodes.size());
    for (size_t i = 0; i < costs.size(); ++i) CHECK((costs[i].seconds > 0) == run.ops()[i].runs);
}

namespace {

// What a run has beyond what was in use before, at most; 0 where the allocator doesn't count (sanitizers).
int64_t added(const Inference& run, const Tensor& x) {
    memory::reset_peak();
    const size_t before = memory::stats().in_use;
    const Tensor y = run(x);
    return static_cast<int64_t>(memory::stats().peak - before);
}

int64_t rounded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

TEST_CASE("a run has the memory of its plan, its output and the kernels' workspaces, and nothing else") {
    const int before = threads();
    set_threads(1);  // workspaces of several tasks at once would add up
    for (const std::string& name : model_names()) {
        INFO(name);
        ModelOptions options;
        if (name == "mobilenetv2") options.input = {64, 64, 3};
        const auto model = make_model(name, options);
        const Tensor x = model->example(4);
        const Inference run(*model, x);
        const MemoryPlan plan = run.memory_plan(x);
        plan.check(run.graph());
        int64_t workspace = 0;
        run.measure(x);
        for (const Inference::Cost& cost : run.measure(x)) workspace = std::max(workspace, cost.workspace);
        const int64_t output = rounded(static_cast<int64_t>(run(x).bytes())), most = added(run, x);
        if (memory::stats().mapped == 0) continue;
        // A small output comes from a list that counts as in use all the time.
        CHECK(most == plan.total + (output > (16 << 10) ? output : 0) + workspace);
        CHECK(plan.total <= plan.lower_bound * 1.1);
    }
    set_threads(before);
}

TEST_CASE("making an inference for a large batch takes no memory for the batch") {
    const auto model = make_model("resnet20");
    const auto made = [&](int64_t batch) {
        const Tensor x = model->example(batch);
        memory::reset_peak();
        const size_t before = memory::stats().in_use;
        const Inference run(*model, x);
        CHECK(run.graph()[run.graph().output].shape == Shape{batch, 10});
        return static_cast<double>(memory::stats().peak - before);
    };
    CHECK(made(64) < 3 * made(1) + 1);  // other kernels have other weights; 1: where nothing is counted
}

TEST_CASE("several threads run one network at the same time, on batches of many sizes") {
    const auto model = make_model("resnet8");
    settle(*model);
    const Tensor x = model->example(9);
    const Inference run(*model, x);
    std::vector<Tensor> expected;
    for (int64_t n = 0; n <= 9; ++n) expected.push_back(run(x.rows(0, n)));
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int caller = 0; caller < 4; ++caller)
        callers.emplace_back([&, caller] {
            for (int64_t i = 0; i < 30; ++i) {
                const int64_t n = (i * (caller + 1)) % 10;
                wrong += !same_bits(run(x.rows(0, n)), expected[static_cast<size_t>(n)]);
            }
        });
    for (std::thread& caller : callers) caller.join();
    CHECK(wrong == 0);
    for (int64_t n = 1; n <= 9; ++n)
        CHECK(difference(expected[static_cast<size_t>(n)], evaluated(*model, x.rows(0, n))) < 2e-5);
}

TEST_CASE("more batch sizes than are remembered") {
    const auto model = make_model("lenet5");
    const Tensor x = model->example(50);
    const Inference run(*model, x);
    const Tensor all = run(x);
    for (int round = 0; round < 2; ++round)
        for (int64_t n = 1; n <= 50; ++n) CHECK(difference(run(x.rows(0, n)), all.rows(0, n)) < 1e-6);
}

TEST_CASE("integers go in, and where the ops allow it the length is free") {
    struct Words : Module {
        Embedding embedding{{.rows = 20, .features = 8}};
        Linear hidden{{.in = 8, .out = 16}}, last{{.in = 16, .out = 3}};
        Words() { child("embedding", embedding), child("hidden", hidden), child("last", last); }
        Variable forward(const Variable& x) override { return last(ops::mean(ops::relu(hidden(embedding(x))), 1)); }
    } net;
    Random random(2);
    const auto words = [&](const Shape& shape) {
        Tensor x(shape, DType::i32);
        for (int64_t i = 0; i < x.numel(); ++i) x.mutable_data<int32_t>()[i] = static_cast<int32_t>(random.below(20));
        return x;
    };
    const Inference run(net, words({2, 5}));
    for (const Shape& shape : {Shape{2, 5}, Shape{7, 5}, Shape{1, 9}, Shape{4, 1}}) {
        const Tensor x = words(shape);
        CHECK(difference(run(x), evaluated(net, x)) < 1e-5);
    }
    CHECK_THROWS_WITH(run(random_tensor({2, 5}, 1)),
                      "inference: expected an input like [2, 5] of type i32, got f32 [2, 5]");
    CHECK_THROWS_AS(run(words({2})), Error);
}

TEST_CASE("values are written in place only where nobody needs what was there") {
    struct Net : Module {
        Conv2d first{{.in = 4, .out = 4, .kernel = 3, .padding = 1}}, second{{.in = 4, .out = 4, .kernel = 1}};
        Net() { child("first", first), child("second", second); }
        Variable forward(const Variable& x) override {
            const Variable a = ops::max_pool2d(x, 2);
            const Variable b = ops::add(first(a), a);       // reads its addend
            const Variable c = ops::sigmoid(b);             // b is read again
            const Variable d = ops::mul(ops::hard_swish(c), b);
            const Variable e = ops::add(second(d), c);      // onto c, which is read later
            return ops::flatten(ops::sub(ops::add(e, e), ops::tanh(c)));
        }
    } net;
    const Tensor x = random_tensor({3, 6, 6, 4}, 2), kept = x.clone();
    const Inference run(net, x);
    CHECK(difference(run(x), evaluated(net, x)) < 1e-5);
    CHECK(same_bits(x, kept));
}

TEST_CASE("what is read beside the input, and an output that is the input's view") {
    struct View : Module {
        Variable forward(const Variable& x) override { return ops::flatten(x); }
    } view;
    const Tensor x = random_tensor({3, 2, 2, 1}, 1);
    const Tensor y = Inference(view, x)(x);
    CHECK(y.shape() == Shape{3, 4});
    CHECK(same_bits(y, x.reshape({3, 4})));
}

TEST_CASE("networks with several inputs, which stay as they are") {
    struct Two : Module {
        Conv2d conv{{.in = 3, .out = 4, .kernel = 3, .padding = 1}};
        Two() { child("conv", conv); }
        Variable forward_all(const std::vector<Variable>& x) override { return ops::add(conv(x[0]), x[1]); }
    } net;
    const Tensor x = random_tensor({2, 5, 4, 3}, 1), skip = random_tensor({2, 5, 4, 4}, 2), before = skip.clone();
    const Inference run(net, {x, skip});
    CHECK(count(run.graph(), "add") == 0);
    const auto expected = [&](const std::vector<Tensor>& inputs) {
        const ModeScope eval(net, false);
        const NoGrad no_grad;
        return net(std::vector<Variable>(inputs.begin(), inputs.end())).value();
    };
    CHECK(difference(run(std::vector{x, skip}), expected({x, skip})) < 1e-5);
    CHECK(difference(run(std::vector{x.rows(1, 1), skip.rows(1, 1)}), expected({x.rows(1, 1), skip.rows(1, 1)})) <
          1e-5);
    CHECK(same_bits(skip, before));
    CHECK_THROWS_WITH(run(x), "inference: expected 2 inputs, got 1");
    CHECK_THROWS_AS(run(std::vector{x, skip.rows(0, 1)}), Error);
}
