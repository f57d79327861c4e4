#include "lathe/compress/budget/latency.h"

#include <doctest/doctest.h>

#include <set>

#include "lathe/compress/channels/prune.h"
#include "lathe/core/error.h"
#include "lathe/core/files/file.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/core/graph/cost.h"
#include "lathe/nn/models/resnet8.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::compress;
using namespace lathe::testing;
using kernels::Conv2dShape;
using kernels::SparsePattern;

namespace {

constexpr Conv2dShape kLayer{.batch = 1,
                             .in_h = 16,
                             .in_w = 16,
                             .in_c = 64,
                             .out_h = 16,
                             .out_w = 16,
                             .out_c = 64,
                             .kernel_h = 3,
                             .kernel_w = 3,
                             .pad_top = 1,
                             .pad_left = 1};

// A nanosecond a MAC, and by the sparse kernel 1.5 for each that is left; counts how often it was asked.
MeasureLayer made_up(int& asked) {
    return [&asked](const Conv2dShape& shape, std::optional<SparsePattern> pattern, double sparsity) {
        ++asked;
        return 1e-9 * static_cast<double>(shape.macs()) * (pattern ? 1.5 * (1 - sparsity) : 1);
    };
}

}  // namespace

TEST_CASE("latency: dense until the sparse kernel is chosen, then interpolated, and never growing") {
    int asked = 0;
    LatencyTable table({}, made_up(asked));
    const double dense = 1e-9 * static_cast<double>(kLayer.macs());
    double last = dense;
    for (int percent = 0; percent <= 98; ++percent) {
        const double sparsity = percent / 100.0, seconds = table.seconds(kLayer, SparsePattern::unstructured, sparsity);
        CAPTURE(sparsity);
        CHECK(seconds <= last * (1 + 1e-12));
        const bool sparse = kernels::sparse::faster(kLayer, SparsePattern::unstructured, sparsity);
        CHECK(seconds == doctest::Approx(sparse ? 1.5 * (1 - sparsity) * dense : dense));
        last = seconds;
    }
    CHECK(asked == 6);  // dense and five sparsities
    Conv2dShape exact = kLayer;  // of a prepared network
    exact.exact = true;
    CHECK(table.seconds(exact) == dense);
    CHECK(asked == 6);
    CHECK(table.seconds(kLayer, SparsePattern::unstructured, 0.99) ==
          doctest::Approx(0.03 * dense));  // the last measured
}

TEST_CASE("latency: a sparse kernel that turns out slower costs what the dense one does") {
    LatencyTable table(
        {}, [](const Conv2dShape&, std::optional<SparsePattern> pattern, double) { return pattern ? 2.0 : 1.0; });
    for (double sparsity : {0.0, 0.5, 0.9, 0.98})
        CHECK(table.seconds(kLayer, SparsePattern::unstructured, sparsity) == 1);
}

TEST_CASE("latency: a second table reads what the first one measured") {
    const TemporaryFolder folder;
    const std::string file = folder / "latency.json";
    int first = 0, second = 0;
    const double once = LatencyTable(file, made_up(first)).seconds(kLayer, SparsePattern::row_blocks, 0.9);
    LatencyTable again(file, made_up(second));
    CHECK(again.seconds(kLayer, SparsePattern::row_blocks, 0.9) == once);
    CHECK(first > 0);
    CHECK(second == 0);
    Conv2dShape wider = kLayer;
    wider.out_c = 96;
    again.seconds(wider);
    CHECK(second == 1);
    for (const char* text : {"[1]", "{\"a\": \"b\"}", "{\"a\": 0}"}) {
        CAPTURE(text);
        write_file_atomically(file, text);
        CHECK_THROWS_WITH_AS(LatencyTable{file}, (file + ": expected the times of layers, got something else").c_str(),
                             Error);
    }
    for (const char* text : {"", "{"}) {
        CAPTURE(text);
        write_file_atomically(file, text);
        CHECK_THROWS_WITH_AS(LatencyTable{file}, (file + ": expected JSON in UTF-8").c_str(), Error);
    }
}

TEST_CASE("latency: allocation and channel pruning meet a share of the time") {
    seed(1);
    nn::Model model = nn::models::resnet8({});
    const Tensor x = random_tensor({1, 32, 32, 3});
    int asked = 0;
    LatencyTable table({}, made_up(asked));
    const double dense = 1e-9 * static_cast<double>(macs(nn::trace(model, x)));
    CHECK(table.seconds(nn::trace(model, x)) == doctest::Approx(dense));

    Sensitivity scan{.dense = {.loss = 1}, .layers = {}, .images = 1, .data = "made up"};
    for (const auto& [name, parameter] : model.named_parameters())
        if (name.find("conv2.weight") != std::string::npos)
            scan.layers.push_back(
                {name, parameter->value().numel(), {{.sparsity = 0.5, .loss = 1.1}, {.sparsity = 0.98, .loss = 2}}});
    REQUIRE(!scan.layers.empty());
    const CostModel costs = latency_cost(model, x, scan, {}, table);
    CHECK(costs.dense == doctest::Approx(1e9 * dense));
    CHECK(costs.at(0) == doctest::Approx(costs.dense));
    CHECK(costs.at(0.98) < 0.9 * costs.dense);
    const double budget = 0.5 * (costs.at(0.98) + costs.dense);
    CHECK(allocate(scan, costs, budget).cost <= budget * (1 + 1e-9));

    prune_channels(model, x, {.target_cost = 0.5, .cost = [&](const Graph& graph) { return table.seconds(graph); }});
    const double left = table.seconds(nn::trace(model, x));
    CHECK(left <= 0.5 * dense);
    CHECK(left > 0.4 * dense);
}

TEST_CASE("latency: an integer program is timed by its widths, in shares of the time in floating point") {
    seed(1);
    nn::Model model = nn::models::resnet8({});
    const Tensor x = random_tensor({1, 32, 32, 3});
    int asked = 0;
    std::set<int> widths;
    LatencyTable table({}, made_up(asked), [&](const Conv2dShape& shape, int bits) {
        ++asked, widths.insert(bits);
        return 1e-9 * static_cast<double>(shape.macs()) * (bits == 8 ? 0.5 : 0.25);
    });
    Sensitivity scan{.dense = {.loss = 1}, .layers = {}, .images = 1, .data = "made up"};
    for (const auto& [name, parameter] : model.named_parameters())
        if (parameter->value().rank() >= 2 && name != "fc.weight")
            scan.layers.push_back({name, parameter->value().numel(),
                                   {{.bits = 8, .loss = 1}, {.bits = 4, .loss = 1.1}, {.bits = 2, .loss = 1.5}}});
    const CostModel costs = integer_latency_cost(model, x, scan, table);
    CHECK(costs.dense == doctest::Approx(12501632));
    CHECK(costs.fixed == doctest::Approx(0.5 * 640));
    CHECK(costs.at(0, 6) == doctest::Approx(0.5 * 12501632));
    CHECK(costs.at(0, 2) == costs.at(0, 4));
    CHECK(widths == std::set<int>{2, 4, 8});
    CHECK(asked <= 4 * 10);  // each geometry once in floating point and at each width
    for (const Allocation::Layer& layer : allocate(scan, costs, costs.at(0, 4)).layers) CHECK(layer.bits == 4);
}

TEST_CASE("latency: a layer of a program is timed on this machine") {
    Conv2dShape odd = kLayer;
    odd.in_c = 13;
    odd.out_c = 7;
    for (const Conv2dShape& shape : {kLayer, odd})
        for (int bits : {2, 4, 8}) CHECK(measure_integer_layer(shape, bits) > 0);
}
