#include "lathe/compress/quantize/codebook.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lathe/compress/budget/size.h"
#include "lathe/compress/quantize/coding.h"
#include "lathe/compress/weights/prune.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/nn/test_transforms.h"
#include "lathe/tests/optim/toy.h"

using namespace lathe;
using namespace lathe::compress;
using namespace lathe::testing;

namespace {

nn::Parameter& named(nn::Module& module, const std::string& name) {
    return *module.named_parameters(name).front().second;
}

Tensor effective(nn::Module& module, const std::string& name) {
    const NoGrad no_grad;
    return named(module, name).effective().value();
}

}  // namespace

TEST_CASE("quantize: k-means gives every layer its codebook, with bits by layer") {
    auto net = toy_net();
    const Tensor before = named(*net, "fc.weight").value().clone();
    const CodebookReport report = quantize_kmeans(*net, {.bits = 4, .layers = {{"*", 3}, {"conv", 2}}});
    REQUIRE(report.layers.size() == 2);
    CHECK(report.layers[0].name == "conv.weight");
    CHECK(report.layers[0].bits == 2);
    CHECK(report.layers[1].bits == 3);
    CHECK(report.layers[1].values == 8);
    CHECK(named(*net, "bn.weight").transforms().empty());
    const Tensor after = effective(*net, "fc.weight");
    double sse = 0;
    for (int64_t i = 0; i < after.numel(); ++i) sse += std::pow(after.at(i) - before.at(i), 2);
    CHECK(sse == doctest::Approx(report.layers[1].sse).epsilon(1e-4));
    CHECK(sse == doctest::Approx(kmeans(before, {.clusters = 8}).sse).epsilon(1e-4));
    CHECK(report.str().find("fc.weight        768       768     3       8") != std::string::npos);

    // Again, with fewer bits, from the values that are there now.
    quantize_kmeans(*net, {.bits = 2});
    CHECK(named(*net, "fc.weight").transforms().size() == 1);
    CHECK(named(*net, "fc.weight.codebook").shape() == Shape{4});
}

TEST_CASE("quantize: zeros of a mask stay zeros and take no entry; an empty layer is well") {
    auto net = toy_net();
    prune_magnitude(*net, {.sparsity = 0.75});
    nn::set_mask(named(*net, "conv.weight"), Tensor::zeros(named(*net, "conv.weight").shape(), DType::u8));
    const Tensor keep = named(*net, "fc.weight").find_transform<nn::Mask>()->mask();
    const CodebookReport report = quantize_kmeans(*net, {.bits = 2});
    CHECK(report.layers[0].values == 0);
    CHECK(report.layers[0].nonzeros == 0);
    CHECK(report.layers[1].nonzeros == 192);
    const Tensor fc = effective(*net, "fc.weight");
    for (int64_t i = 0; i < fc.numel(); ++i) CHECK((fc.at(i) != 0) == (keep.at(i) != 0));
    CHECK(effective(*net, "conv.weight").nonzeros() == 0);
    report.str();
}

TEST_CASE("quantize: sizes are those of the file's tensors, and the entropy is below them") {
    seed(1);
    const auto model = nn::make_model("lenet5");
    prune_magnitude(*model, {.sparsity = 0.8});
    quantize_kmeans(*model, {.bits = 4});
    const CodingReport report = measure_coding(*model);
    CHECK(report.layers.size() == 6);
    CHECK(report.layers.back().name == "other parameters");
    const CodingReport::Layer total = report.total();
    const auto bytes = [&](nn::Weights weights) {
        int64_t sum = 0;
        for (const auto& [name, tensor] : nn::to_file(*model, weights).tensors)
            sum += static_cast<int64_t>(tensor.bytes());
        return sum;
    };
    CHECK(total.packed_bytes == bytes(nn::Weights::encoded));
    CHECK(total.huffman_bytes == bytes(nn::Weights::huffman));
    CHECK(total.packed_bytes == measure_size(*model).total().packed_bytes);
    for (const CodingReport::Layer& layer : report.layers) {
        CAPTURE(layer.name);
        CHECK(layer.bound_bytes <= static_cast<double>(layer.huffman_bytes));
        CHECK(layer.huffman_bytes <= layer.packed_bytes);
        CHECK(layer.packed_bytes <= layer.dense_bytes);
    }
    // fc1: 16 values of a fifth of the weights. 4 bits and the entropy of zeros, 0.722 bits, at 0.2 and 1.
    const CodingReport::Layer& fc1 = report.layers[2];
    CHECK(fc1.weights == 48000);
    CHECK(8 * fc1.bound_bytes < 48000 * (0.2 * 4 + 0.75) + 8 * 64);
    CHECK(total.ratio() > 15);
    CHECK(report.str().find("entropy bound") != std::string::npos);
}

TEST_CASE("quantize: bad options are one clear line, and nothing is changed") {
    auto net = toy_net();
    const auto error = [&](const CodebookOptions& options) {
        return message_of([&] { quantize_kmeans(*net, options); });
    };
    CHECK(error({.bits = 0}) == "quantize: expected 1 to 8 bits, got 0");
    CHECK(error({.bits = 9}) == "quantize: expected 1 to 8 bits, got 9");
    CHECK(error({.layers = {{"fc", 16}}}) == "quantize: expected 1 to 8 bits for 'fc', got 16");
    CHECK(error({.layers = {{"fcc", 4}}}) == "no parameter matches 'fcc'; did you mean 'fc'?");
    CHECK(error({.skip = {"*"}}) == "quantize: expected parameters of two dimensions or more, got none");
    named(*net, "fc.weight").mutable_value().fill_(std::nan(""));
    CHECK(error({}) == "fc.weight: k-means: expected finite values, got nan");
    CHECK(named(*net, "conv.weight").transforms().empty());
    named(*net, "fc.weight").mutable_value().fill_(1);
    named(*net, "fc.weight")
        .add_transform(std::make_unique<LearnedStep>(4, named(*net, "fc.weight").value()));
    CHECK(error({}) == "quantize: expected 'fc.weight' without a quantizer, got one with 'learned_step'");
    CHECK(named(*net, "conv.weight").transforms().empty());
}
