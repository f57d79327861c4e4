#include "lathe/compress/quantize/prepare.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "lathe/compress/channels/prune.h"
#include "lathe/compress/quantize/activations.h"
#include "lathe/compress/quantize/edges.h"
#include "lathe/compress/quantize/fake_quantize.h"
#include "lathe/compress/quantize/fold_norms.h"
#include "lathe/compress/weights/prune.h"
#include "lathe/core/graph/cost.h"
#include "lathe/core/graph/fold.h"
#include "lathe/core/ops/softmax.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/layers/softmax.h"
#include "lathe/nn/models/registry.h"
#include "lathe/nn/run/inference.h"
#include "lathe/tests/compress/quantize/images.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::testing;
using namespace lathe::compress;

namespace {

double snr(const Tensor& signal, const Tensor& noisy) {
    return 10 * std::log10(mean_square(signal) / mean_square_difference(signal, noisy));
}

bool is_quantizer(const GraphNode& node) { return node.op == "fake_quantize"; }

// What integer execution relies on: each value that is made is read by its quantizer alone.
void check_quantized(const Graph& folded) {
    for (int i = 0; i < folded.size(); ++i) {
        const GraphNode& node = folded[i];
        if (!node.activation || node.op->traits.view || node.op->traits.probabilities || is_quantizer(node)) continue;
        INFO(i, " of\n", folded.str());
        const std::vector<int> readers = folded.consumers(i);
        REQUIRE(readers.size() == 1);
        CHECK(is_quantizer(folded[readers[0]]));
        CHECK(i != folded.output);
        if (!node.op->layer) continue;
        REQUIRE(bool(folded[node.inputs[1]].lowered));
        CHECK(folded[node.inputs[1]].lowered->integers.dtype() == DType::i8);
    }
}

int64_t count(const Graph& graph, const char* op) {
    return std::count_if(graph.nodes.begin(), graph.nodes.end(), [&](const GraphNode& node) { return node.op == op; });
}

}  // namespace

TEST_CASE("folded norms: random networks compute the same without them") {
    for (uint64_t seed = 0; seed < 40; ++seed) {
        INFO("seed ", seed);
        const auto owner = random_model(seed);
        nn::Model& model = *owner;
        const Tensor x = model.example(3), y = output(model, x);
        const auto folded = with_masks(fold_norms(model, model.example()), model);
        CHECK(count(folded->graph(), "batch_norm") == 0);
        CHECK(snr(y, output(*folded, x)) > 100);
    }
}

TEST_CASE("random networks: 8 bits change little, every stored value has its quantizer, and files hold the network") {
    const TemporaryFolder folder;
    const data::Dataset images = random_examples(64, {8, 8, 3}, 5);
    for (uint64_t seed = 0; seed < 40; ++seed) {
        INFO("seed ", seed);
        const auto owner = random_model(seed);
        nn::Model& model = *owner;
        const Tensor x = images.take(0, 16).batch({0, 1, 2, 3, 4, 5, 6, 7}).input(), y = output(model, x);
        const auto [quantized, report] = prepare_quantization(model, images);
        CHECK(report.in_float.empty());
        CHECK(snr(y, output(*quantized, x)) > 22);
        CHECK(same(output(model, x), y));  // left as it was
        const nn::ModeScope evaluating(*quantized, false);
        check_quantized(fold(nn::trace(*quantized, model.example())));
        CHECK(snr(output(*quantized, x), nn::Inference(*quantized, x)(x)) > 40);  // a rounding may fall otherwise

        nn::save(*quantized, folder / "net.safetensors");
        CHECK(same(output(*nn::load(folder / "net.safetensors"), x), output(*quantized, x)));
    }
}

TEST_CASE("the networks of the zoo: each value that an integer program stores has one quantizer") {
    for (const char* name : {"lenet5", "resnet8", "resnet20", "mobilenetv2", "mobilenetv1-025", "ds-cnn"}) {
        INFO(name);
        seed(1);
        const auto model = nn::make_model(name);
        const Quantized prepared =
            prepare_quantization(*model, random_examples(4, model->input_shape(), model->classes()), {.batch = 2});
        const nn::ModeScope evaluating(*prepared.model, false);
        check_quantized(fold(nn::trace(*prepared.model, model->example())));
    }
}

TEST_CASE("edges: what a layer takes in is not stored, what moves keeps its scale, means do not, concat ties inputs") {
    seed(3);
    nn::Sequential net;
    net.add<nn::Conv2d>("stem", {.in = 3, .out = 8, .kernel = 3, .padding = 1});
    net.append("branches", std::make_unique<RandomBranches>(8, 4));
    net.add<nn::BasicBlock>("block", {.in = 12, .out = 12});
    net.add<nn::MaxPool2d>("max", {.kernel = 2});
    net.add<nn::GlobalAvgPool>("mean");
    net.add<nn::Linear>("fc", {.in = 12, .out = 5});
    net.add<nn::Softmax>("softmax");
    net.eval();
    const Graph graph = fold_norms(net, Tensor::zeros({1, 8, 8, 3}));
    std::vector<std::string> found;
    for (const Edge& edge : stored_edges(graph)) found.push_back(edge.name + " " + std::to_string(edge.group));
    CHECK(found == std::vector<std::string>{"input 0", "stem 1", "branches.a 2", "branches 2",
                                            "branches.concat 2", "block.bn1 3", "block 4", "max 4", "mean 5",
                                            "fc 6"});
}

TEST_CASE("options: bits by layer and at the ends, one scale for a weight, pact, observers; the report") {
    const auto owner = random_model(3);
    nn::Model& model = *owner;
    const data::Dataset images = random_examples(32, {8, 8, 3}, 5);
    const auto [quantized, report] = prepare_quantization(
        model, images,
        {.weight_bits = 4, .activation_bits = 4, .layers = {{"block1", 3}}, .per_channel = false,
         .observer = Observer::mse, .rule = ops::ScaleRule::pact});
    REQUIRE(report.weights.size() > 3);
    CHECK(report.weights.front().bits == 8);
    CHECK(report.weights.back().bits == 8);
    CHECK(report.activations.front().bits == 8);
    for (const auto& weight : report.weights)
        if (weight.name.starts_with("block1")) CHECK(weight.bits == 3);
    bool pact = false;
    const Graph graph = nn::trace(*quantized, model.example());
    for (const GraphNode& node : graph.nodes)
        if (is_quantizer(node) && node.attributes.text("rule") == "pact") {
            pact = true;
            const Grid grid = grid_of(graph, node);
            CHECK(grid.zero_point.item() == grid.integers().low);
            CHECK(node.attributes.real("scale_gradient") == doctest::Approx(std::pow(std::pow(2, grid.bits) - 1, -2)));
        }
    CHECK(pact);
    for (const auto& [name, parameter] : quantized->named_parameters())
        if (auto* quantizer = parameter->find_transform<FakeQuantize>())
            CHECK(quantizer->scale().shape() == Shape{1});
    CHECK(report.str().find("observer") != std::string::npos);
    CHECK(report.str().find("calibrated on 32 images") != std::string::npos);
}

TEST_CASE("convolutions of a prepared network add up the products themselves") {
    const auto model = random_model(2);
    const auto [quantized, report] = prepare_quantization(*model, random_examples(16, {8, 8, 3}, 5), {});
    int exact = 0;
    const Graph graph = nn::trace(*quantized, quantized->example(1));
    for (const GraphNode& node : graph.nodes)
        if (node.op == "conv2d") exact += conv2d_shape(graph, node).exact ? 1 : -100;
    CHECK(exact > 0);
}

TEST_CASE("the automatic observer does better than any other alone, over several networks") {
    const data::Dataset images = random_examples(32, {8, 8, 3}, 5);
    const Tensor x = images.batch({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}).input();
    const auto error = [&](Observer observer) {
        double sum = 0;
        for (uint64_t seed = 1; seed <= 6; ++seed) {
            const auto model = random_model(seed);
            const Tensor y = output(*model, x);
            const auto [quantized, report] =
                prepare_quantization(*model, images, {.activation_bits = 4, .observer = observer});
            sum += mean_square_difference(output(*quantized, x), y) / mean_square(y);
        }
        return sum;
    };
    const double automatic = error(Observer::automatic);
    for (Observer observer : plain_observers()) CHECK(automatic < error(observer));
}

TEST_CASE("masked and channel-pruned networks quantize: zeros stay exact zeros, and quantized channels can be cut") {
    for (uint64_t seed : {2, 7, 11}) {
        INFO("seed ", seed);
        const auto owner = random_model(seed);
        nn::Model& model = *owner;
        prune_magnitude(model, {.sparsity = 0.6});
        const data::Dataset images = random_examples(16, {8, 8, 3}, 5);
        const auto [quantized, report] = prepare_quantization(model, images, {.weight_bits = 4});
        for (const auto& [name, parameter] : quantized->named_parameters()) {
            if (!parameter->find_transform<FakeQuantize>()) continue;
            const Lowered lowered = parameter->lowered();
            if (!lowered.mask) continue;
            for (int64_t i = 0; i < lowered.integers.numel(); ++i)
                if (lowered.mask.at(i) == 0) CHECK(lowered.integers.at(i) == 0);
        }
        const int64_t before = quantized->parameter_count();
        prune_channels(*quantized, model.example(), {.ratio = 0.3});
        CHECK(quantized->parameter_count() < before);
        CHECK_NOTHROW(output(*quantized, model.example()));
    }
}

TEST_CASE("preparing: what it refuses") {
    const auto owner = random_model(1);
    nn::Model& model = *owner;
    const data::Dataset images = random_examples(4, {8, 8, 3}, 5);
    CHECK(message_of([&] { prepare_quantization(model, images, {.weight_bits = 9}); }) ==
          "quantization: expected 2 to 8 bits, got 9");
    CHECK(message_of([&] { prepare_quantization(model, images, {.layers = {{"stm", 4}}}); }) ==
          "no parameter matches 'stm'; did you mean 'stem'?");
    const auto [quantized, report] = prepare_quantization(model, images.take(0, 1));  // one image is enough
    CHECK(message_of([&] { prepare_quantization(*quantized, images); })
              .find("expected weights as they are or masked, got 'stem.weight' with 8 bits") != std::string::npos);
    model.named_parameters("stem.weight")[0].second->mutable_value().mutable_data<float>()[0] = NAN;
    CHECK(message_of([&] { prepare_quantization(model, images); })
              .find("quantization: expected finite values, got NaN or infinity") != std::string::npos);
}
