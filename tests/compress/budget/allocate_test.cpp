#include "lathe/compress/budget/allocate.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "lathe/compress/budget/size.h"
#include "lathe/compress/quantize/codebook.h"
#include "lathe/compress/quantize/prepare.h"
#include "lathe/compress/weights/prune.h"
#include "lathe/core/random.h"
#include "lathe/nn/models/resnet8.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::compress;
using namespace lathe::testing;

namespace {

// Layers whose loss grows as sensitivity * s^power, scanned at every tenth.
Sensitivity made_up(const std::vector<std::pair<double, double>>& layers) {
    Sensitivity s{.dense = {.loss = 1}, .layers = {}, .images = 1, .data = "made up"};
    for (size_t i = 0; i < layers.size(); ++i) {
        s.layers.push_back({"layer" + std::to_string(i), 1000, {}});
        for (int k = 1; k <= 9; ++k)
            s.layers.back().points.push_back(
                {.sparsity = 0.1 * k, .loss = 1 + layers[i].first * std::pow(0.1 * k, layers[i].second)});
    }
    return s;
}

CostModel linear_costs(const std::vector<double>& each, double fixed = 0) {
    CostModel costs{.fixed = fixed, .layers = {}, .dense = 0};
    for (size_t i = 0; i < each.size(); ++i)
        costs.layers.push_back(
            {"layer" + std::to_string(i), [cost = each[i]](double sparsity, int) { return cost * (1 - sparsity); }});
    costs.dense = costs.at(0);
    return costs;
}

double interpolated(const Sensitivity::Layer& layer, double sparsity) {
    double from = 0, loss = 0;
    for (const Sensitivity::Point& point : layer.points) {
        if (sparsity <= point.sparsity)
            return loss + (point.loss - 1 - loss) * (sparsity - from) / (point.sparsity - from);
        from = point.sparsity, loss = point.loss - 1;
    }
    return loss;
}

}  // namespace

TEST_CASE("allocate: equal layers get equal sparsities, and the budget is met") {
    const Allocation a = allocate(made_up({{1, 3}, {1, 3}}), linear_costs({100, 100}, 10), 110);
    CHECK(a.cost == doctest::Approx(110));
    CHECK(a.dense == doctest::Approx(210));
    CHECK(std::abs(a.layers[0].sparsity - a.layers[1].sparsity) <= 0.1001);  // to a scanned step
    CHECK(a.layers[0].sparsity + a.layers[1].sparsity == doctest::Approx(1));
}

TEST_CASE("allocate: no other sparsities at the same cost lose less, by trying all of a grid") {
    Random random(3);
    for (int trial = 0; trial < 10; ++trial) {
        std::vector<std::pair<double, double>> shapes;
        std::vector<double> each;
        for (int i = 0; i < 3; ++i) {
            const double scale = random.uniform(0.1, 3);
            shapes.emplace_back(scale, random.uniform(1, 6));
            each.push_back(random.uniform(10, 100));
        }
        const Sensitivity s = made_up(shapes);
        const CostModel costs = linear_costs(each);
        const double budget = random.uniform(0.2, 0.9) * costs.at(0);
        const Allocation a = allocate(s, costs, budget);
        CHECK(a.cost <= budget * (1 + 1e-9));
        double loss = 0;
        for (size_t i = 0; i < 3; ++i) loss += interpolated(s.layers[i], a.layers[i].sparsity);
        CHECK(a.loss == doctest::Approx(loss).epsilon(1e-6));
        double best = 1e9;
        for (int x = 0; x <= 90; x += 2)
            for (int y = 0; y <= 90; y += 2) {
                // What is left of the budget goes to the third layer.
                const double left = budget - costs.layers[0].cost(x / 100.0, kFloatBits) -
                                    costs.layers[1].cost(y / 100.0, kFloatBits),
                             z = std::max(0.0, 1 - left / each[2]);
                if (left < 0.1 * each[2]) continue;
                best = std::min(best, interpolated(s.layers[0], x / 100.0) + interpolated(s.layers[1], y / 100.0) +
                                          interpolated(s.layers[2], z));
            }
        CHECK(a.loss <= best + 1e-9);
    }
}

TEST_CASE("allocate: curves that bend the wrong way are made convex, noise below the dense loss is nothing gained") {
    Sensitivity s = made_up({{1, 0.3}, {1, 3}});  // the first loses most at once
    for (Sensitivity::Point& point : s.layers[1].points)
        if (point.sparsity < 0.35) point.loss = 0.9;
    const Allocation a = allocate(s, linear_costs({100, 100}), 140);
    CHECK(a.cost == doctest::Approx(140));
    CHECK(a.loss > 0);
    CHECK(a.layers[0].sparsity == doctest::Approx(0).epsilon(1e-9));
    CHECK(a.layers[1].sparsity == doctest::Approx(0.6));
}

TEST_CASE("allocate: an impossible target says what can be reached") {
    CHECK(
        message_of([] {
            allocate(made_up({{1, 2}}), linear_costs({100}, 100), 50);
        }) ==
        "allocate: expected a target of at least 0.55 of dense with no layer beyond what was scanned, got 0.25");
    CHECK(message_of([] { allocate(made_up({}), linear_costs({100}, 100), 50); }) ==
          "allocate: the scan has no layer 'layer0'");
    CHECK(allocate(made_up({{1, 2}}), linear_costs({100}), 100).layers[0].sparsity == 0);
}

TEST_CASE("allocate: predicted bytes and MACs are those of the model pruned so") {
    seed(2);
    nn::Model model = nn::models::resnet8({});
    Sensitivity s{.dense = {.loss = 1}, .layers = {}, .images = 1, .data = ""};
    Random random(1);
    for (const auto& [name, parameter] : model.named_parameters()) {
        if (parameter->value().rank() < 2) continue;
        s.layers.push_back({name, parameter->value().numel(), {}});
        for (double sparsity : {0.5, 0.9, 0.98})
            s.layers.back().points.push_back({.sparsity = sparsity, .loss = 1 + random.uniform() * sparsity});
    }
    const Tensor x = Tensor::zeros({1, 32, 32, 3});
    const auto dense_bytes = static_cast<double>(measure_size(model).total().dense_bytes);
    const Graph graph = nn::trace(model, x);
    for (bool by_size : {true, false}) {
        const CostModel costs = by_size ? size_cost(model, s) : macs_cost(model, x, s);
        CHECK(costs.at(0) == doctest::Approx(by_size ? dense_bytes : 12501632.0));
        nn::Model pruned = nn::models::resnet8({});
        const Allocation a = allocate(s, costs, 0.25 * costs.dense);
        prune_magnitude(pruned, {.layers = a.sparsities()});
        const SizeReport size = measure_size(pruned);
        const auto reached = static_cast<double>(by_size ? size.total().packed_bytes : effective_macs(graph, size));
        CHECK(reached / costs.dense == doctest::Approx(0.25).epsilon(0.01));
        // What is masked cannot cost more again.
        const CostModel rest = by_size ? size_cost(pruned, s) : macs_cost(pruned, x, s);
        CHECK(rest.at(0) == doctest::Approx(reached).epsilon(0.01));
        CHECK(rest.dense == costs.dense);
    }
}

namespace {

// Layers that were scanned at widths, each with losses of its own.
Sensitivity at_widths(const std::vector<std::vector<double>>& losses, const std::vector<int>& widths) {
    Sensitivity s{.dense = {.loss = 1}, .layers = {}, .images = 1, .data = "made up"};
    for (size_t i = 0; i < losses.size(); ++i) {
        s.layers.push_back({"layer" + std::to_string(i), 1000, {}});
        for (size_t k = 0; k < widths.size(); ++k)
            s.layers.back().points.push_back({.bits = widths[k], .loss = 1 + losses[i][k]});
    }
    return s;
}

CostModel cost_of_bits(const std::vector<double>& each) {
    CostModel costs;
    for (size_t i = 0; i < each.size(); ++i)
        costs.layers.push_back({"layer" + std::to_string(i), [cost = each[i]](double sparsity, int bits) {
            return cost * bits * (1 - sparsity);
        }});
    costs.dense = costs.at(0);
    return costs;
}

}  // namespace

TEST_CASE("allocate: a layer that bears it gets few bits, none gets a width that was not scanned") {
    const Sensitivity s = at_widths({{0.01, 0.1, 0.9}, {0, 0.01, 0.05}}, {8, 4, 2});
    const Allocation a = allocate(s, cost_of_bits({10, 10}), 100);
    CHECK(a.bits() == std::vector<std::pair<std::string, int>>{{"layer0", 8}, {"layer1", 2}});
    CHECK(a.cost == 100);
    CHECK(a.loss == doctest::Approx(0.06));
    CHECK(allocate(s, cost_of_bits({10, 10}), 1e9).bits()[1].second == 8);  // no floating point where none was tried
    CHECK(a.str().find("layer1     2    20  +0.0500") != std::string::npos);
    CHECK(message_of([&] { allocate(s, cost_of_bits({10, 10}), 32); }) ==
          "allocate: expected a target of at least 0.0625 of dense with no layer beyond what was scanned, got 0.05");
}

TEST_CASE("allocate: what a step leaves over is spent on steps back that fit") {
    const Sensitivity s = at_widths({{0, 0.011}, {0, 0.05}}, {8, 2});
    const Allocation a = allocate(s, cost_of_bits({10, 1}), 80);
    CHECK(a.bits() == std::vector<std::pair<std::string, int>>{{"layer0", 2}, {"layer1", 8}});
    const Sensitivity t = at_widths({{0, 0.011}, {0, 0.001}}, {8, 2});
    CHECK(allocate(t, cost_of_bits({10, 1}), 80).bits() == a.bits());  // layer1's step was taken first
}

TEST_CASE("allocate: no other widths at a cost of one step less lose less, by trying all") {
    const std::vector<int> widths{8, 6, 4, 3, 2};
    Random random(5);
    for (int trial = 0; trial < 20; ++trial) {
        std::vector<double> each;
        std::vector<std::vector<double>> losses(4);
        for (std::vector<double>& of : losses) {
            each.push_back(random.uniform(1, 10));
            for (double loss = 0; of.size() < widths.size(); loss += random.uniform(0, 1)) of.push_back(loss);
        }
        const CostModel costs = cost_of_bits(each);
        const double budget = random.uniform(costs.at(0, 2), costs.at(0, 8));
        const Allocation a = allocate(at_widths(losses, widths), costs, budget);
        CHECK(a.cost <= budget * (1 + 1e-9));
        const double step = 6 * *std::max_element(each.begin(), each.end());
        double best = 1e9, loss = 0;
        for (int code = 0; code < 625; ++code) {
            double cost = 0, sum = 0;
            bool same = true;
            for (size_t i = 0, rest = static_cast<size_t>(code); i < 4; ++i, rest /= 5) {
                cost += each[i] * widths[rest % 5];
                sum += losses[i][rest % 5];
                same = same && a.layers[i].bits == widths[rest % 5];
            }
            if (same) loss = sum;
            if (cost <= budget - step) best = std::min(best, sum);
        }
        CHECK(a.loss == doctest::Approx(loss));
        CHECK(a.loss <= best + 1e-9);
    }
}

TEST_CASE("allocate: bits and zeros of one budget lose no more than either alone") {
    Random random(7);
    int better = 0;
    for (int trial = 0; trial < 10; ++trial) {
        Sensitivity both = at_widths({{}, {}, {}}, {});
        for (Sensitivity::Layer& layer : both.layers) {
            const double of_bits = random.uniform(0.1, 2), of_zeros = random.uniform(0.1, 2);
            for (int bits : {32, 8, 4, 2})
                for (double sparsity : {0.0, 0.5, 0.9})
                    layer.points.push_back({.sparsity = sparsity, .bits = bits,
                                            .loss = 1 + of_bits * std::exp2(-bits) + of_zeros * std::pow(sparsity, 4)});
        }
        const auto part = [&](const auto& keep) {
            Sensitivity s = both;
            for (Sensitivity::Layer& layer : s.layers)
                std::erase_if(layer.points, [&](const Sensitivity::Point& point) { return !keep(point); });
            return s;
        };
        const CostModel costs = cost_of_bits({10, 20, 30});
        const double budget = random.uniform(0.11, 0.2) * costs.dense;
        const Allocation joint = allocate(both, costs, budget);
        CHECK(joint.cost <= budget * (1 + 1e-9));
        const double bits = allocate(part([](const auto& p) { return p.sparsity == 0; }), costs, budget).loss;
        CHECK(joint.loss <= bits);
        CHECK(joint.loss < allocate(part([](const auto& p) { return p.bits == kFloatBits; }), costs, budget).loss);
        better += joint.loss < bits;
    }
    CHECK(better > 5);
}

TEST_CASE("allocate: predicted bytes are those of the model in so many bits, pruned or not") {
    seed(3);
    Random random(2);
    for (bool pruned : {false, true}) {
        nn::Model model = nn::models::resnet8({});
        Sensitivity s{.dense = {.loss = 1}, .layers = {}, .images = 1, .data = ""};
        for (const auto& [name, parameter] : model.named_parameters()) {
            if (parameter->value().rank() < 2) continue;
            s.layers.push_back({name, parameter->value().numel(), {}});
            for (int bits : {2, 3, 4, 6, 8})
                for (double sparsity : {0.0, 0.6, 0.9})
                    if (pruned || sparsity == 0)
                        s.layers.back().points.push_back(
                            {.sparsity = sparsity, .bits = bits,
                             .loss = 1 + random.uniform() * (std::exp2(-bits) + std::pow(sparsity, 3))});
        }
        const CostModel costs = size_cost(model, s);
        CHECK(costs.dense == static_cast<double>(measure_size(model).total().dense_bytes));
        const Allocation a = allocate(s, costs, 0.12 * costs.dense);
        if (pruned) prune_magnitude(model, {.layers = a.sparsities()});
        const auto bits = a.bits();
        quantize_kmeans(model, {.layers = {bits.begin(), bits.end()}});
        const auto reached = static_cast<double>(measure_size(model).total().packed_bytes);
        CHECK(reached == doctest::Approx(a.cost).epsilon(pruned ? 0.01 : 1e-9));
        CHECK(reached / costs.dense < 0.121);
        CHECK(reached / costs.dense > 0.1);
    }
}

TEST_CASE("allocate: bit operations are products times the bits of both factors") {
    seed(4);
    nn::Model model = nn::models::resnet8({});
    Random random(1);
    const Tensor x = random_tensor({1, 32, 32, 3});
    std::vector<int32_t> labels(2, 0);
    const data::Dataset images({.name = "noise"}, {.inputs = {random_tensor({2, 32, 32, 3})},
                                                   .targets = {Tensor::of({2}, labels)}});
    const auto prepared = prepare_quantization(model, images, {.activation_bits = 4}).model;
    Sensitivity s{.dense = {.loss = 1}, .layers = {}, .images = 1, .data = ""};
    for (const auto& [name, parameter] : model.named_parameters())
        if (parameter->value().rank() >= 2 && name != "fc.weight")
            s.layers.push_back({name, parameter->value().numel(), {{.bits = 8, .loss = 1}}});
    constexpr double kAll = 12501632, kFirst = 3 * 9 * 16 * 32 * 32, kLast = 640;
    const CostModel costs = bit_operations_cost(*prepared, x, s);
    CHECK(costs.dense == kAll * 32 * 32);
    CHECK(costs.fixed == kLast * 32 * 4);
    CHECK(costs.at(0, 8) - costs.fixed == kFirst * 8 * 8 + (kAll - kFirst - kLast) * 8 * 4);  // images have end_bits
    CHECK(costs.at(0.5, 2) - costs.fixed == kFirst * 8 + (kAll - kFirst - kLast) * 4);
    CHECK(bit_operations_cost(model, x, s).at(0, 32) == kAll * 32 * 32);
}
