#include "lathe/compress/budget/sensitivity.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "lathe/compress/quantize/codebook.h"
#include "lathe/compress/quantize/fake_quantize.h"
#include "lathe/compress/quantize/prepare.h"
#include "lathe/core/files/file.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/resnet8.h"
#include "lathe/optim/evaluate.h"
#include "lathe/optim/trainer.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/optim/toy.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::compress;
using namespace lathe::testing;

namespace {

nn::Model small_model() {
    seed(1);
    return nn::models::resnet8({.classes = 3, .width = 0.25, .input = {8, 8, 1}});
}

}  // namespace

TEST_CASE("scan: every point is the accuracy and loss of the model with that layer pruned, and nothing is left of it") {
    nn::Model model = small_model();
    optim::Trainer(model, optim::sgd({.lr = 0.05})).fit(stripes(60), stripes(30, 2), {.epochs = 2, .batch = 16});
    prune_magnitude(model, {.layers = {{"fc", 0.25}}, .only = {"fc.weight"}});
    const auto before = model.state();
    const data::Dataset images = stripes(45, 3);
    std::vector<int64_t> done;
    const Sensitivity scan = scan_sensitivity(
        model, images, {.sparsities = {0.5, 0.9}, .images = 0, .batch = 16, .go_on = [&](int64_t d, int64_t total) {
                            CHECK(total == 2 * 10 * 3);
                            done.push_back(d);
                            return true;
                        }});
    CHECK(done.back() == 60);
    const auto after = model.state();
    REQUIRE(after.size() == before.size());
    for (const auto& [name, tensor] : before) CHECK(same_bits(tensor, after.at(name)));

    REQUIRE(scan.layers.size() == 10);
    CHECK(scan.images == 45);
    CHECK(scan.dense.accuracy == doctest::Approx(optim::evaluate(model, images)["accuracy"]));
    for (const Sensitivity::Layer& layer : scan.layers)
        for (const Sensitivity::Point& point : layer.points) {
            CAPTURE(layer.name);
            nn::Model pruned = small_model();
            WeightPruner(pruned, {.layers = {{"fc", 0.25}}, .only = {"fc.weight"}}).prune();
            pruned.load_state(before);
            prune_magnitude(pruned, {.layers = {{layer.name, point.sparsity}}, .only = {layer.name}});
            const optim::Evaluation expected = optim::evaluate(pruned, images, {.batch = 16});
            CHECK(point.accuracy == doctest::Approx(expected["accuracy"]));
            CHECK(point.loss == doctest::Approx(expected.loss).epsilon(1e-6));
        }
}

TEST_CASE("scan: a point of a width is the model with that layer quantized so, behind its mask") {
    nn::Model model = small_model();
    optim::Trainer(model, optim::sgd({.lr = 0.05})).fit(stripes(60), stripes(30, 2), {.epochs = 2, .batch = 16});
    prune_magnitude(model, {.layers = {{"fc", 0.25}}, .only = {"fc.weight"}});
    const auto before = model.state();
    const data::Dataset images = stripes(45, 3);
    const Sensitivity scan =
        scan_sensitivity(model, images, {.sparsities = {0, 0.5}, .bits = {3, kFloatBits}, .images = 0, .batch = 16});
    CHECK(scan.has_bits());
    CHECK(scan.has_sparsities());
    const auto after = model.state();
    REQUIRE(after.size() == before.size());
    for (const auto& [name, tensor] : before) CHECK(same_bits(tensor, after.at(name)));
    REQUIRE(scan.layers.size() == 10);
    for (const Sensitivity::Layer& layer : scan.layers) {
        REQUIRE(layer.points.size() == 4);
        for (const Sensitivity::Point& point : layer.points) {
            CAPTURE(layer.name);
            nn::Model changed = small_model();
            WeightPruner(changed, {.layers = {{"fc", 0.25}}, .only = {"fc.weight"}}).prune();
            changed.load_state(before);
            if (point.sparsity > 0)
                prune_magnitude(changed, {.layers = {{layer.name, point.sparsity}}, .only = {layer.name}});
            if (point.bits != kFloatBits) quantize_kmeans(changed, {.bits = point.bits, .only = {layer.name}});
            const optim::Evaluation expected = optim::evaluate(changed, images, {.batch = 16});
            CHECK(point.accuracy == doctest::Approx(expected["accuracy"]));
            CHECK(point.loss == doctest::Approx(expected.loss).epsilon(1e-6));
        }
    }
    CHECK(parse_sensitivity(scan.json()).json() == scan.json());
    CHECK(scan.str().find("3 bits 50%") != std::string::npos);
    CHECK(scan.str().find("float 0%") != std::string::npos);
}

TEST_CASE("scan: a network in integers of 8 bits is scanned with its activations so, at a scale for each channel") {
    nn::Model model = small_model();
    optim::Trainer(model, optim::sgd({.lr = 0.05})).fit(stripes(60), stripes(30, 2), {.epochs = 2, .batch = 16});
    const data::Dataset images = stripes(45, 3);
    const auto in_bits = [&](const std::vector<std::pair<std::string, int>>& layers) {
        return prepare_quantization(model, images, {.layers = layers}).model;
    };
    const auto prepared = in_bits({});
    const auto before = prepared->state();
    std::vector<std::string> names;
    for (const auto& [name, parameter] : prepared->named_parameters())
        if (parameter->find_transform<FakeQuantize>()) names.push_back(name);
    REQUIRE(names.size() == 10);
    const Sensitivity scan = scan_sensitivity(*prepared, images, {.sparsities = {0},
                                                                  .bits = {2, 4, 8},
                                                                  .few_bits = FewBits::channel_scales,
                                                                  .only = names,
                                                                  .images = 0});
    CHECK(scan.dense.loss == doctest::Approx(optim::evaluate(*prepared, images).loss).epsilon(1e-6));
    for (const auto& [name, tensor] : prepared->state()) CHECK(same_bits(tensor, before.at(name)));
    for (const Sensitivity::Layer& layer : scan.layers)
        for (const Sensitivity::Point& point : layer.points) {
            CAPTURE(layer.name);
            const double loss = optim::evaluate(*in_bits({{layer.name, point.bits}}), images).loss;
            CHECK(point.loss == doctest::Approx(loss).epsilon(1e-6));
        }
}

TEST_CASE("scan: results are kept in a file for the same weights, images and options") {
    const TemporaryFolder folder;
    nn::Model model = small_model();
    int64_t points = 0;
    ScanOptions options{.sparsities = {0.5},
                        .only = {"layer1.conv1", "fc.weight"},
                        .images = 20,
                        .cache = folder / "scan.json",
                        .go_on = [&](int64_t, int64_t) { return ++points, true; }};
    options.only = {"conv1.weight", "fc.weight"};
    const Sensitivity first = scan_sensitivity(model, stripes(30), options);
    CHECK(points == 2);
    CHECK(scan_sensitivity(model, stripes(30), options).json() == first.json());
    CHECK(points == 2);
    options.seed = 1;
    scan_sensitivity(model, stripes(30), options);
    CHECK(points == 4);
    model.named_parameters("fc.weight").front().second->mutable_value().fill_(1);
    scan_sensitivity(model, stripes(30), options);
    CHECK(points == 6);
    write_file_atomically(options.cache, "{broken");
    scan_sensitivity(model, stripes(30), options);
    CHECK(points == 8);

    CHECK(parse_sensitivity(first.json()).json() == first.json());
    CHECK(message_of([] { parse_sensitivity("[]"); }) == "sensitivity: expected the JSON of a scan");
    CHECK(first.csv().starts_with("layer,weights,sparsity,bits,accuracy,loss\ndense,0,0,32,"));
    CHECK(first.str().find("conv1.weight") != std::string::npos);
}

TEST_CASE("scan: by gradients, too, with bits") {
    nn::Model model = small_model();
    const data::Dataset images = stripes(30);
    const Sensitivity scan = scan_sensitivity(
        model, images, {.sparsities = {0.5}, .bits = {4},
                        .importance = {.kind = WeightImportance::taylor, .data = &images, .images = 16}});
    CHECK(scan.layers.size() == 10);
}

TEST_CASE("scan: 2:4 passes over the layers that it does not fit, and names them") {
    nn::Model model = small_model();
    const Sensitivity scan =
        scan_sensitivity(model, stripes(30), {.sparsities = {0.5}, .pattern = parse_pattern("2:4")});
    CHECK(scan.passed_over == std::vector<std::string>{"conv1.weight"});
    CHECK(!scan.layers.empty());
    CHECK(scan.str().find("\npassed over, since 4 does not divide their input channels: conv1.weight\ndense: ") !=
          std::string::npos);
    CHECK(parse_sensitivity(scan.json()).passed_over == scan.passed_over);
}

TEST_CASE("scan: bad options are one clear line") {
    nn::Model model = small_model();
    const auto error = [&](const ScanOptions& options) {
        return message_of([&] { scan_sensitivity(model, stripes(30), options); });
    };
    CHECK(error({.sparsities = {}}) == "scan: expected at least one sparsity");
    CHECK(error({.sparsities = {1}}) == "scan: expected sparsities in [0, 1), got 1");
    CHECK(error({.bits = {4, 0}}) == "scan: expected widths of 1 to 8 bits or 32, got 0");
    CHECK(error({.bits = {1}, .few_bits = FewBits::one_scale}) == "scan: expected widths of 2 to 8 bits, got 1");
    CHECK(error({.skip = {"convv1"}}) == "no parameter matches 'convv1'; did you mean 'conv1'?");
    CHECK(error({.pattern = parse_pattern("2:4"), .only = {"conv1.weight"}}) ==
          "prune: 2:4 fits no layer: expected input channels that 4 divides");
    CHECK(error({.go_on = [](int64_t, int64_t) { return false; }}) == "scan: stopped");
    for (const auto& [name, parameter] : model.named_parameters()) CHECK(parameter->transforms().empty());
}
