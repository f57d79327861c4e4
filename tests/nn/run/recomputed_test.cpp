#include "lathe/nn/run/recomputed.h"

#include <doctest/doctest.h>

#include "lathe/core/memory.h"
#include "lathe/core/ops/cross_entropy.h"
#include "lathe/core/random.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/mobilenetv2.h"
#include "lathe/nn/models/resnet20.h"
#include "lathe/nn/models/vgg_cifar.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/optim/toy.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

constexpr int64_t kBatch = 4;

struct Step {
    Tensor output;
    std::map<std::string, Tensor> gradients, buffers;
    size_t peak = 0;  // bytes beyond what was in use before and the parameters' gradients
};

// A training step of a network that is the same each time: half the first weights are masked, the last layer is frozen.
template <class Make>
Step train_once(Make&& make, bool recomputed) {
    seed(5);
    nn::Model model = make();
    auto first = model.named_parameters().front().second;
    Tensor mask(first->shape(), DType::u8);
    for (int64_t i = 0; i < mask.numel(); ++i) mask.mutable_data<uint8_t>()[i] = i % 2;
    first->add_transform(std::make_unique<nn::Mask>(mask));
    model.named_parameters().back().second->set_trainable(false);
    model.named_parameters()[4].second->set_trainable(false);
    Random random(8);
    Tensor x({kBatch, 32, 32, 3}), labels = Tensor::zeros({kBatch}, DType::i32);
    for (int64_t i = 0; i < x.numel(); ++i) x.mutable_data<float>()[i] = static_cast<float>(random.normal());

    const auto segments = recomputed ? std::make_unique<nn::Recomputed>(model, x) : nullptr;
    if (segments) CHECK(segments->segments().size() > 2);
    Step step;
    seed(6);
    memory::reset_peak();
    const size_t before = memory::stats().in_use;
    {
        const Variable y = segments ? (*segments)(x) : model(x);
        step.output = y.value();
        backward(ops::cross_entropy(y, labels));
    }
    step.peak = memory::stats().peak - before;
    for (const auto& [name, parameter] : model.named_parameters())
        if (parameter->grad()) {
            step.gradients[name] = parameter->grad();
            if (step.peak) step.peak -= parameter->grad().bytes();
        }
    for (const auto& [name, buffer] : model.named_buffers()) step.buffers[name] = *buffer;
    return step;
}

void check_same(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
    REQUIRE(a.size() == b.size());
    for (const auto& [name, tensor] : a) CHECK_MESSAGE(same_bits(tensor, b.at(name)), name);
}

}  // namespace

TEST_CASE("recomputed: output, gradients and running statistics have the same bits, for less memory") {
    const std::vector<std::function<nn::Model()>> networks = {
        [] { return nn::models::resnet20(); },
        [] { return nn::models::vgg_cifar({.width = 0.25}); },
        [] { return nn::models::mobilenetv2({.classes = 10, .width = 0.5, .input = {32, 32, 3}, .dropout = 0.3}); },
    };
    for (const auto& network : networks) {
        const Step plain = train_once(network, false), recomputed = train_once(network, true);
        CHECK(same_bits(plain.output, recomputed.output));
        check_same(plain.gradients, recomputed.gradients);
        check_same(plain.buffers, recomputed.buffers);
        CHECK(recomputed.peak <= plain.peak);
        if (plain.peak) CHECK(static_cast<double>(recomputed.peak) < 0.9 * static_cast<double>(plain.peak));
    }
}

TEST_CASE("recomputed: the pieces of nested sequential networks, in order and each once") {
    nn::Model model = nn::models::resnet20();
    const nn::Recomputed net(model, Tensor::zeros({2, 32, 32, 3}));
    std::vector<std::string> pieces;
    for (const auto& segment : net.segments()) pieces.insert(pieces.end(), segment.begin(), segment.end());
    CHECK(pieces == std::vector<std::string>{"conv1", "bn1", "layer1.0", "layer1.1", "layer1.2", "layer2.0", "layer2.1",
                                             "layer2.2", "layer3.0", "layer3.1", "layer3.2", "pool", "fc"});
}

TEST_CASE("recomputed: a look at the network leaves it as it was") {
    auto net = toy_net();
    const auto before = net->state();
    std::map<std::string, Tensor> copies;
    for (const auto& [name, tensor] : before) copies[name] = tensor.clone();
    seed(2);
    const nn::Recomputed recomputed(*net, Tensor::full({5, 8, 8, 1}, 0.5));
    CHECK(global_random().position() == 0);
    for (const auto& [name, tensor] : net->state()) CHECK(same_bits(tensor, copies.at(name)));
}

TEST_CASE("cut_segments finds the least peak") {
    // Sixteen equal pieces: four segments of 4 have a peak of 4 + 3 kept, and nothing is better than 6: 6 5 4 1 or the
    // like.
    const std::vector<nn::PieceCost> even(16, {10, 10});
    const auto peak_of = [](const std::vector<nn::PieceCost>& pieces, const std::vector<size_t>& ends) {
        int64_t kept = 0, peak = 0;
        size_t i = 0;
        for (size_t end : ends) {
            int64_t made = 0;
            for (; i < end; ++i) made += pieces[i].made;
            peak = std::max(peak, kept + made);
            kept += pieces[end - 1].output;
        }
        return peak;
    };
    CHECK(peak_of(even, nn::cut_segments(even)) == 60);
    CHECK(nn::cut_segments({{10, 10}}) == std::vector<size_t>{1});
    CHECK(nn::cut_segments({}).empty());
    CHECK(nn::cut_segments({{0, 0}, {0, 0}}).back() == 2);

    // Against every way to cut ten random pieces.
    Random random(3);
    for (int round = 0; round < 50; ++round) {
        std::vector<nn::PieceCost> pieces(10);
        for (nn::PieceCost& piece : pieces)
            piece.output = random.below(20), piece.made = piece.output + random.below(30);
        int64_t best = peak_of(pieces, {10});
        for (int cuts = 0; cuts < 1 << 9; ++cuts) {
            std::vector<size_t> ends;
            for (size_t i = 1; i < 10; ++i)
                if (cuts >> (i - 1) & 1) ends.push_back(i);
            ends.push_back(10);
            best = std::min(best, peak_of(pieces, ends));
        }
        CHECK(peak_of(pieces, nn::cut_segments(pieces)) == best);
    }
}
