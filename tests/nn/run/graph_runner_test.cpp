#include "lathe/nn/run/graph_runner.h"

#include <doctest/doctest.h>

#include "lathe/core/ops/add.h"
#include "lathe/core/ops/linear.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/optim/toy.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

Tensor evaluated(nn::Module& module, const Tensor& x) {
    const nn::ModeScope mode(module, false);
    const NoGrad no_grad;
    return module(x).value();
}

}  // namespace

TEST_CASE("graph runner: the same bits as whole runs, whatever weight changes, for other batches than the traced one") {
    for (const std::string name : {"resnet8", "lenet5", "ds-cnn"}) {
        INFO(name);
        seed(1);
        const auto model = nn::make_model(name);
        for (const auto& [path, parameter] : model->named_parameters())
            if (parameter->shape().rank() > 1)
                parameter->add_transform(std::make_unique<nn::Mask>(random_mask(parameter->shape())));
        const Graph graph = nn::trace(*model, model->example());
        const Tensor x = model->example(3);
        nn::GraphRunner runner(graph, x);
        CHECK(same_bits(runner.output(), evaluated(*model, x)));
        int layers = 0;
        for (const auto& [path, parameter] : model->named_parameters()) {
            CAPTURE(path);
            const Tensor before = parameter->value().clone();
            for (double factor : {0.5, -2.0}) {
                float* w = parameter->mutable_value().mutable_data<float>();
                for (int64_t i = 0; i < before.numel(); ++i)
                    w[i] = static_cast<float>(factor) * before.data<float>()[i];
                CHECK(same_bits(runner.output_with(path, parameter->effective().value()), evaluated(*model, x)));
            }
            parameter->mutable_value().copy_(before);
            ++layers;
        }
        CHECK(layers >= 10);
        CHECK(same_bits(runner.output(), evaluated(*model, x)));
    }
}

TEST_CASE("graph runner: weights that are read twice, never, or computed with; and the order of questions") {
    struct Net : nn::Module {
        nn::Linear a{{.in = 4, .out = 4}}, b{{.in = 4, .out = 4}}, unused{{.in = 2, .out = 2}};
        Net() { child("a", a), child("b", b), child("unused", unused); }
        Variable forward(const Variable& x) override {
            const Variable y = a(b(a(x)));
            return ops::linear(y, ops::add(b.weight.effective(), a.weight.effective()), {});
        }
    } net;
    const Tensor x = random_tensor({3, 4});
    const Graph graph = nn::trace(net, x);
    nn::GraphRunner runner(graph, x);
    const Tensor dense = runner.output();
    for (auto& [name, parameter] : net.named_parameters("a.weight")) {
        const Tensor changed = random_tensor({4, 4}, 5), before = parameter->value().clone();
        parameter->mutable_value().copy_(changed);
        const Tensor expected = evaluated(net, x);
        CHECK(same_bits(runner.output_with(name, changed), expected));
        CHECK_FALSE(same_bits(expected, dense));
        parameter->mutable_value().copy_(before);
    }
    CHECK(same_bits(runner.output_with("unused.weight", Tensor::zeros({2, 2})), dense));
    runner.output_with("b.weight", net.b.weight.value());
    CHECK(message_of([&] { runner.output_with("a.weight", net.a.weight.value()); }) ==
          "graph runner: expected parameters in the order in which they are read, got 'a.weight' too late");
    CHECK(same_bits(runner.output(), dense));
    CHECK(nn::first_reader(graph, "unused.weight") == graph.size());
}
