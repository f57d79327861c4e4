#include <doctest/doctest.h>

#include <set>

#include "lathe/nn/codebook.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/registry.h"
#include "lathe/nn/run/inference.h"
#include "lathe/nn/run/profile.h"
#include "lathe/tests/core/kernels/random_values.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/optim/toy.h"

using namespace lathe;
using namespace lathe::nn;
using namespace lathe::testing;

namespace {

void give_codebook(Parameter& parameter, int64_t bits) {
    Tensor indices(parameter.shape(), DType::u8);
    Random random(bits);
    for (int64_t i = 0; i < indices.numel(); ++i)
        indices.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(random.below(int64_t{1} << bits));
    set_codebook(parameter, indices, random_tensor({int64_t{1} << bits}, 9), Codebook::Gradient::mean);
}

// Layers whose values and indices run in the same kernels, two of them with a norm to be folded and one with groups.
// Norms as after some training.
std::unique_ptr<Sequential> odd_net() {
    seed(1);
    auto net = std::make_unique<Sequential>();
    net->add<Conv2d>("conv1", {.in = 3, .out = 10, .kernel = 3, .stride = 2, .padding = 1, .bias = false});
    net->add<BatchNorm>("bn1", {.channels = 10, .activation = Activation::relu});
    net->add<Conv2d>("conv2", {.in = 10, .out = 70, .kernel = {3, 2}, .groups = 2});
    net->add<BatchNorm>("bn2", {.channels = 70});
    net->add<Conv2d>("conv3", {.in = 70, .out = 33, .kernel = 1});
    net->add<Flatten>("flatten");
    net->add<Linear>("fc", {.in = 33 * 3 * 4, .out = 5, .pixels = 12});
    for (auto& [name, buffer] : net->named_buffers())
        if (buffer->dtype() == DType::f32)
            for (int64_t i = 0; i < buffer->numel(); ++i)
                buffer->mutable_data<float>()[i] = 0.5f + 0.1f * static_cast<float>(i % 7);
    return net;
}

void give_codebooks(Module& net, int64_t bits) {
    for (auto& [name, parameter] : net.named_parameters())
        if (parameter->shape().rank() > 1) give_codebook(*parameter, bits);
}

std::set<std::string> kernels_of(const Inference& run) {
    std::set<std::string> found;
    for (const Inference::Op& op : run.ops())
        if (!op.kernel.empty()) found.insert(op.kernel);
    return found;
}

bool has_indices(const Inference& run) {
    for (const std::string& kernel : kernels_of(run))
        if (kernel.ends_with("-bit")) return true;
    return false;
}

}  // namespace

TEST_CASE("inference with the smallest weights gives the bits of values through the same kernels") {
    for_each_isa([] {
        for (int64_t bits = 1; bits <= 8; ++bits) {
            CAPTURE(bits);
            const auto net = odd_net();
            give_codebooks(*net, bits);
            const Tensor x = random_tensor({3, 9, 9, 3}, 1);
            const Inference fastest(*net, x), smallest(*net, x, InferenceWeights::smallest);
            const std::string kind = " " + std::to_string(bits) + "-bit";
            CHECK(kernels_of(fastest) == std::set<std::string>{"direct", "gemm1x1"});
            CHECK(kernels_of(smallest).count("gemm1x1" + kind) == 1);
            CHECK(same_bits(smallest(x), fastest(x)));
            CHECK(same_bits(smallest(x.rows(1, 1)), fastest(x.rows(1, 1))));
            CHECK(smallest(Tensor::zeros({0, 9, 9, 3})).shape() == Shape{0, 5});
        }
    });
}

TEST_CASE("the smallest weights hold indices, a codebook and a factor for each column, and nothing of the module") {
    const auto net = std::make_unique<Sequential>();
    net->add<Linear>("fc", {.in = 640, .out = 64});
    give_codebooks(*net, 4);
    const Tensor x = random_tensor({2, 640}, 1);
    const Inference fastest(*net, x), smallest(*net, x, InferenceWeights::smallest);
    CHECK(fastest.weight_bytes() == (640 * 64 + 64) * 4);
    CHECK(smallest.weight_bytes() == 640 * 64 / 2 + (256 + 64) * 4 + 64 * 4);  // the last: the bias
    for (const GraphNode& node : smallest.graph().nodes) {
        CHECK(node.lowered == nullptr);
        CHECK((!node.value || node.value.numel() == 64));
    }
    const Tensor before = smallest(x);
    for (auto& [name, parameter] : net->named_parameters()) parameter->mutable_value().fill_(0);
    CHECK(same_bits(smallest(x), before));

    const NetworkProfile shown = profile(*net, x, 1, InferenceWeights::smallest);
    REQUIRE(shown.layers.size() == 1);
    CHECK(shown.layers[0].kernel == "gemm1x1 4-bit");
    CHECK(shown.layers[0].weight_bytes == smallest.weight_bytes());
}

TEST_CASE("values are held where a codebook does not say them all, and where they take fewer bytes") {
    const Tensor x = random_tensor({2, 640}, 1), image = random_tensor({2, 8, 8, 40}, 1);
    const auto linear = [] {
        auto net = std::make_unique<Sequential>();
        net->add<Linear>("fc", {.in = 640, .out = 64});
        return net;
    };
    const auto runs_indices = [](Module& net, const Tensor& x) {
        return has_indices(Inference(net, x, InferenceWeights::smallest));
    };
    const auto plain = linear(), masked = linear(), zero = linear(), shared = linear();
    CHECK_FALSE(runs_indices(*plain, x));
    for (Sequential* net : {masked.get(), zero.get(), shared.get()}) give_codebooks(*net, 4);
    CHECK(runs_indices(*shared, x));
    Parameter& weight = *masked->named_parameters("fc.weight").front().second;
    set_mask(weight, random_mask(weight.shape()));
    CHECK_FALSE(runs_indices(*masked, x));
    zero->named_parameters("fc.weight").front().second->mutable_value().mutable_data<float>()[7] = 0;
    CHECK_FALSE(runs_indices(*zero, x));  // a dense weight of zero stays one

    Sequential depthwise;
    depthwise.add<Conv2d>("conv", {.in = 40, .out = 40, .kernel = 3, .padding = 1, .groups = 40});
    give_codebooks(depthwise, 4);
    CHECK_FALSE(runs_indices(depthwise, image));
}

TEST_CASE("the smallest weights of a network: a tenth of the bytes and the same results, without Winograd") {
    const auto model = make_model("resnet20");
    give_codebooks(*model, 4);
    const Tensor x = random_tensor({4, 32, 32, 3}, 1);
    const Inference fastest(*model, x), smallest(*model, x, InferenceWeights::smallest);
    CHECK(kernels_of(fastest).count("winograd4") == 1);
    CHECK(kernels_of(smallest) == std::set<std::string>{"direct 4-bit", "gemm1x1 4-bit"});
    CHECK(smallest.weight_bytes() * 10 < fastest.weight_bytes());
    const Tensor a = smallest(x), b = fastest(x);
    double apart = 0, largest = 0;
    for (int64_t i = 0; i < a.numel(); ++i) {
        apart = std::max(apart, std::abs(a.at(i) - b.at(i)));
        largest = std::max(largest, std::abs(b.at(i)));
    }
    CHECK(apart < 1e-4 * largest);
}

TEST_CASE("the fastest weights are indices where a few rows meet a matrix that no cache holds") {
    Sequential net;
    net.add<Linear>("fc", {.in = 4096, .out = 2048});
    give_codebooks(net, 4);
    const Tensor x = random_tensor({1, 4096}, 1);
    const Inference fastest(net, x);
    CHECK(has_indices(fastest) == (kernels::table().panel.lanes == 16));
    CHECK_FALSE(has_indices(Inference(net, random_tensor({8, 4096}, 1))));
}
