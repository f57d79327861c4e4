#include "lathe/compress/budget/allocate.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lathe/compress/budget/size.h"
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
            {"layer" + std::to_string(i), [cost = each[i]](double sparsity) { return cost * (1 - sparsity); }});
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
        for (int i = 0; i < 3; ++i)
            shapes.emplace_back(random.uniform(0.1, 3), random.uniform(1, 6)), each.push_back(random.uniform(10, 100));
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
                const double left = budget - costs.layers[0].cost(x / 100.0) - costs.layers[1].cost(y / 100.0),
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
        "allocate: expected a target of at least 0.55 of dense with no layer beyond the sparsities scanned, got 0.25");
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
