#include "lathe/nn/graph_module.h"

#include <doctest/doctest.h>

#include <cstring>

#include "lathe/core/graph/fold.h"
#include "lathe/core/ops/add.h"
#include "lathe/core/ops/concat.h"
#include "lathe/core/ops/cross_entropy.h"
#include "lathe/core/ops/scale.h"
#include "lathe/core/random.h"
#include "lathe/nn/blocks/squeeze_excite.h"
#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/layers/dropout.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pool2d.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/nn/models/registry.h"
#include "lathe/nn/run/recomputed.h"
#include "lathe/optim/optimizer.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::testing;
using nn::GraphModule;

namespace {

bool same_bits(const Tensor& a, const Tensor& b) {
    return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

Shape batched(int64_t n, const Shape& input) {
    Shape shape{n};
    for (int64_t extent : input) shape.push_back(extent);
    return shape;
}

// Three steps of SGD on random images; labels by the index, or the sum of the outputs where there are no classes.
void train(nn::Module& net, const Shape& shape, int64_t classes, bool recompute = false) {
    const auto optimizer = optim::sgd({.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-3});
    net.train();
    for (int step = 0; step < 3; ++step) {
        seed(100 + static_cast<uint64_t>(step));
        const Tensor x = random_tensor(shape, static_cast<uint64_t>(step));
        std::optional<nn::Recomputed> recomputed;
        if (recompute) recomputed.emplace(net, x);
        const Variable y = recompute ? (*recomputed)(x) : net(x);
        if (classes == 0) {
            backward(y, Tensor::full(y.shape(), 1e-2));
        } else {
            std::vector<int32_t> labels;
            for (int64_t i = 0; i < shape[0]; ++i) labels.push_back(static_cast<int32_t>((i + step) % classes));
            backward(ops::cross_entropy(y, Tensor::of<int32_t>({shape[0]}, labels)));
        }
        optimizer->step(net);
        net.zero_grad();
    }
}

void check_same_state(nn::Module& a, nn::Module& b) {
    const auto left = a.state(), right = b.state();
    REQUIRE(left.size() == right.size());
    for (const auto& [name, tensor] : left) {
        INFO(name);
        REQUIRE(right.count(name) == 1);
        CHECK(same_bits(tensor, right.at(name)));
    }
}

// A network of random pieces: residual and concatenated branches, groups, squeeze-and-excitation, a layer that runs
// twice, dropout.
class RandomNet : public nn::Module {
public:
    explicit RandomNet(uint64_t s) : random_(s) {
        int64_t channels = 8;
        stem_ = std::make_unique<nn::Conv2d>(nn::Conv2dOptions{.in = 3, .out = channels, .kernel = 3, .padding = 1});
        child("stem", *stem_);
        for (int i = 0; i < 5; ++i) {
            kinds_.push_back(static_cast<int>(random_.below(5)));
            auto& block = blocks_.emplace_back(std::make_unique<nn::Sequential>());
            const int64_t groups = random_.below(2) ? 4 : 1;
            if (kinds_.back() == 3) block->add<nn::SqueezeExcite>("se", {.channels = channels, .squeezed = 3});
            else
                block->add<nn::Conv2d>("conv", {.in = channels,
                                                .out = channels,
                                                .kernel = 3,
                                                .padding = 1,
                                                .groups = groups,
                                                .bias = random_.below(2) == 1});
            block->add<nn::BatchNorm>(
                "bn",
                {.channels = channels, .activation = random_.below(2) ? Activation::relu : Activation::hard_swish});
            if (random_.below(2)) block->add<nn::Dropout>("dropout", {.p = 0.3});
            child("block" + std::to_string(i), *block);
            if (kinds_.back() == 1) channels *= 2;
        }
        head_ = std::make_unique<nn::Linear>(nn::LinearOptions{.in = channels, .out = 4});
        child("pool", pool_);
        child("head", *head_);
    }

private:
    Variable forward(const Variable& x) override {
        Variable y = (*stem_)(x);
        for (size_t i = 0; i < blocks_.size(); ++i) {
            nn::Sequential& block = *blocks_[i];
            if (kinds_[i] == 0) y = ops::add(y, block(y), Activation::relu);
            else if (kinds_[i] == 1) y = ops::concat({block(y), ops::scale(y, 0.5)}, -1);
            else if (kinds_[i] == 2) y = block(block(y));  // shared weights
            else y = block(y);
        }
        return (*head_)(pool_(y));
    }

    Random random_;
    std::unique_ptr<nn::Conv2d> stem_;
    std::vector<int> kinds_;
    std::vector<std::unique_ptr<nn::Sequential>> blocks_;
    nn::GlobalAvgPool pool_;
    std::unique_ptr<nn::Linear> head_;
};

}  // namespace

TEST_CASE("every network of the zoo trains through its graph to the bits of its source") {
    for (const std::string& name : nn::model_names()) {
        INFO(name);
        const double width = name == "vgg-cifar" ? 0.125 : 0.5;
        const auto make = [&] {
            seed(5);
            return nn::make_model(name, {.width = width});
        };
        const auto source = make(), traced = make(), copied = make();
        const Shape shape = batched(4, source->input_shape());
        GraphModule bound(nn::trace(*traced, Tensor::zeros(batched(1, source->input_shape()))), *traced);
        GraphModule own(nn::trace(*copied, Tensor::zeros(batched(1, source->input_shape()))));
        train(*source, shape, source->classes());
        train(bound, shape, source->classes());
        train(own, shape, source->classes());
        check_same_state(*source, *traced);
        check_same_state(*source, own);
        source->eval();
        own.eval();
        const NoGrad no_grad;
        const Tensor x = random_tensor(shape, 9);
        CHECK(same_bits((*source)(x).value(), own(x).value()));
    }
}

TEST_CASE("random networks train through their graphs to the bits of their source, recomputed, too") {
    for (uint64_t s = 0; s < 12; ++s) {
        INFO("seed ", s);
        const auto make = [&] {
            seed(s);
            return std::make_unique<RandomNet>(s);
        };
        const auto source = make(), traced = make(), again = make();
        const Shape shape{3, 8, 8, 3};
        GraphModule bound(nn::trace(*traced, Tensor::zeros({1, 8, 8, 3})), *traced);
        GraphModule recomputed(nn::trace(*again, Tensor::zeros({1, 8, 8, 3})), *again);
        train(*source, shape, 4);
        train(bound, shape, 4);
        train(recomputed, shape, 4, true);
        check_same_state(*source, *traced);
        check_same_state(*source, *again);
    }
}

TEST_CASE("a folded graph is a module, too") {
    const auto model = nn::make_model("resnet8", {.width = 0.5});
    model->eval();
    const Tensor x = random_tensor(batched(2, model->input_shape()), 3);
    GraphModule folded(fold(nn::trace(*model, x)));
    folded.eval();
    const NoGrad no_grad;
    const Tensor expected = (*model)(x).value(), got = folded(x).value();
    for (int64_t i = 0; i < expected.numel(); ++i) CHECK(got.at(i) == doctest::Approx(expected.at(i)).epsilon(1e-3));
}

TEST_CASE("the pieces of a graph are cut where one value is alive") {
    seed(1);
    const auto model = nn::make_model("resnet8", {.width = 0.25});
    const Tensor x = random_tensor(batched(2, model->input_shape()), 3);
    GraphModule net(nn::trace(*model, x));
    net.eval();
    const std::vector<nn::Module*> pieces = net.pieces();
    CHECK(pieces.size() > 5);
    const NoGrad no_grad;
    Variable y = x;
    for (nn::Module* piece : pieces) piece->eval(), y = (*piece)(y);
    CHECK(same_bits(y.value(), net(x).value()));
}

TEST_CASE("a graph that does not hold or does not fit is refused") {
    nn::Linear layer({.in = 3, .out = 2});
    Graph graph = nn::trace(layer, Tensor::zeros({1, 3}));
    nn::Linear other({.in = 3, .out = 2, .bias = false});
    CHECK_THROWS_WITH(GraphModule(graph, other), "graph: the network has no parameter called 'bias'");
    GraphModule net(graph, layer);
    CHECK_THROWS_WITH(net(std::vector<Variable>{Tensor::zeros({1, 3}), Tensor::zeros({1, 3})}),
                      "expected 1 inputs, got 2");
    graph[graph.output].shape = {7};
    CHECK_THROWS_AS(GraphModule{graph}, Error);
}
