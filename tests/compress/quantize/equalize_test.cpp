#include "lathe/compress/quantize/equalize.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "lathe/compress/quantize/activations.h"
#include "lathe/compress/quantize/fold_norms.h"
#include "lathe/compress/quantize/prepare.h"
#include "lathe/tests/compress/quantize/images.h"

using namespace lathe;
using namespace lathe::testing;
using namespace lathe::compress;

namespace {

// A depthwise-separable network whose channels have ranges far apart, as norms leave them; `most` is the greatest power
// of ten between them.
std::unique_ptr<nn::Model> uneven_model(bool relu6 = false, float most = 2) {
    seed(5);
    auto net = std::make_unique<nn::Sequential>();
    const auto add_relu = [&](const char* name) {
        if (relu6) net->add<nn::ReLU6>(name);
        else net->add<nn::ReLU>(name);
    };
    net->add<nn::Conv2d>("expand", {.in = 3, .out = 16});
    add_relu("relu1");
    net->add<nn::Conv2d>("depthwise", {.in = 16, .out = 16, .kernel = 3, .padding = 1, .groups = 16});
    add_relu("relu2");
    net->add<nn::GlobalAvgPool>("pool");
    net->add<nn::Linear>("fc", {.in = 16, .out = 5});
    for (const auto& [name, parameter] : net->named_parameters()) {
        if (name != "expand.weight" && name != "expand.bias" && name != "depthwise.weight") continue;
        float* w = parameter->mutable_value().mutable_data<float>();
        const int64_t row = parameter->value().numel() / 16;
        for (int64_t i = 0; i < parameter->value().numel(); ++i) {
            const float factor = std::pow(10.f, static_cast<float>(i / row % 5) - 4 + most);
            w[i] *= name.starts_with("expand") ? factor : 1 / factor;
        }
    }
    auto model = std::make_unique<nn::Model>("uneven", nn::ModelOptions{.classes = 5, .input = {8, 8, 3}},
                                             std::move(net));
    model->eval();
    return model;
}

}  // namespace

TEST_CASE("equalisation changes no function, makes ranges of channels alike, and helps one scale for a weight") {
    const auto model = uneven_model();
    const data::Dataset images = random_examples(64, {8, 8, 3}, 5);
    const Tensor x = images.batch({0, 1, 2, 3, 4, 5, 6, 7}).input(), y = output(*model, x);
    Graph graph = fold_norms(*model, model->example());
    const EqualizeReport report = equalize(graph);
    REQUIRE(report.pairs.size() == 2);
    CHECK(report.pairs[0].first == "expand.weight");
    CHECK(report.pairs[0].second == "depthwise.weight");
    CHECK(report.pairs[1].second == "fc.weight");
    CHECK(report.pairs[0].before > 1000);
    CHECK(report.pairs[0].after < 20);
    const auto equalized = with_masks(graph, *model);
    CHECK(mean_square_difference(output(*equalized, x), y) < 1e-10 * mean_square(y));
    CHECK(report.str().find("spread before") != std::string::npos);

    const auto error = [&](const QuantizeOptions& options) {
        return mean_square_difference(output(*prepare_quantization(*model, images, options).model, x), y);
    };
    CHECK(error({.per_channel = false, .equalize = true}) < 0.05 * error({.per_channel = false}));
}

TEST_CASE("equalisation through relu6: channels that reach 6 stay, others move below it; the function is the same") {
    const data::Dataset images = random_examples(64, {8, 8, 3}, 5);
    std::vector<int64_t> all(64);
    std::iota(all.begin(), all.end(), 0);
    const Tensor x = images.batch(all).input();
    for (const float most : {-1.f, 1.5f}) {  // far below 6, and beyond it in some channels
        INFO("10^", most);
        const auto model = uneven_model(true, most);
        const Tensor y = output(*model, x);
        const auto prepared = [&](bool equalize) {
            return prepare_quantization(*model, images, {.per_channel = false, .equalize = equalize});
        };
        const Quantized equalized = prepared(true);
        const EqualizeReport& report = *equalized.report.equalized;
        REQUIRE(report.pairs.size() == 2);
        CHECK(report.channels == 32);
        CHECK(report.same > 100);
        CHECK(report.pairs[0].after < 0.1 * report.pairs[0].before);
        const auto at = report.scaled.find("expand.weight");
        REQUIRE(at != report.scaled.end());
        const int64_t untouched = std::count(at->second.begin(), at->second.end(), 1.0);
        if (most > 0) {
            CHECK(report.held > 0);
            CHECK(report.held < 16);
            CHECK(untouched > 0);
            CHECK(untouched < 16);
        } else {
            CHECK(report.held == 0);
        }
        CHECK(mean_square_difference(output(*equalized.model, x), y) <
              0.5 * mean_square_difference(output(*prepared(false).model, x), y));
        CHECK(report.str().find(" channels pass a relu6, ") != std::string::npos);
    }
    Graph graph = fold_norms(*uneven_model(true), Tensor::zeros({1, 8, 8, 3}));
    CHECK(equalize(graph).pairs.empty());  // nothing is known of what reaches them
}

TEST_CASE("equalisation leaves alone what it does not know, and random networks as they were") {
    for (uint64_t seed = 0; seed < 20; ++seed) {
        INFO("seed ", seed);
        const auto model = random_model(seed);
        const Tensor x = model->example(3), y = output(*model, x);
        Graph graph = fold_norms(*model, model->example());
        equalize(graph);
        CHECK(mean_square_difference(output(*with_masks(graph, *model), x), y) < 1e-8 * mean_square(y));
    }
    CHECK(EqualizeReport{}.str().find("no two layers") == 0);
}

TEST_CASE("bias correction brings the means of channels back") {
    double plain = 0, corrected = 0;
    for (uint64_t seed : {1, 3, 4, 5, 6, 8}) {
        INFO("seed ", seed);
        const auto model = random_model(seed);
        const data::Dataset images = random_examples(128, {8, 8, 3}, 5);
        const Tensor x = images.batch({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}).input();
        const Tensor y = output(*model, x);
        const QuantizeOptions few{.weight_bits = 3};
        QuantizeOptions and_corrected = few;
        and_corrected.correct_bias = true;
        const Quantized before = prepare_quantization(*model, images, few),
                        after = prepare_quantization(*model, images, and_corrected);
        REQUIRE(after.report.corrected.has_value());
        CHECK(after.report.corrected->layers > 3);
        CHECK(after.report.corrected->after < 0.01);
        CHECK(after.report.corrected->before > 2 * after.report.corrected->after);
        plain += mean_square_difference(output(*before.model, x), y) / mean_square(y);
        corrected += mean_square_difference(output(*after.model, x), y) / mean_square(y);
    }
    CHECK(corrected < plain);
}
