#include "lathe/compress/budget/allocate.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "lathe/core/graph/cost.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/mask.h"

namespace lathe::compress {

namespace {

struct Choice {
    double sparsity, loss, cost;
};

// The layer's loss at a sparsity, by how much it exceeds the dense model's: linear between the points scanned, and
// never falling.
double loss_at(const std::vector<Sensitivity::Point>& points, double dense, double sparsity) {
    double from = 0, loss_from = 0;
    for (const Sensitivity::Point& point : points) {
        const double loss = std::max(loss_from, point.loss - dense);
        if (sparsity <= point.sparsity)
            return point.sparsity > from ? loss_from + (loss - loss_from) * (sparsity - from) / (point.sparsity - from)
                                         : loss;
        from = point.sparsity;
        loss_from = loss;
    }
    return loss_from;
}

// From sparsity 0 to the greatest one scanned, the corners of the lower hull of loss over falling cost.
std::vector<Choice> hull_of(const Sensitivity::Layer& layer, const CostModel::Layer& cost, double dense) {
    constexpr int kBetween = 16;  // costs may bend between two scanned sparsities
    std::vector<Choice> hull;
    const auto slope = [](const Choice& a, const Choice& b) { return (b.loss - a.loss) / (a.cost - b.cost); };
    const auto extend = [&](double sparsity) {
        const Choice next{sparsity, loss_at(layer.points, dense, sparsity), cost.cost(sparsity)};
        if (!hull.empty() && next.cost >= hull.back().cost) return;
        while (hull.size() >= 2 && slope(hull[hull.size() - 2], hull.back()) >= slope(hull.back(), next))
            hull.pop_back();
        hull.push_back(next);
    };
    extend(0);
    double from = 0;
    for (const Sensitivity::Point& point : layer.points) {
        for (int i = 1; i <= kBetween; ++i)
            extend(i == kBetween ? point.sparsity : from + (point.sparsity - from) * i / kBetween);
        from = point.sparsity;
    }
    return hull;
}

// The smallest sparsity between two choices at which the layer costs no more than `wanted`.
double sparsity_for(const CostModel::Layer& layer, double wanted, double low, double high) {
    for (int i = 0; i < 60; ++i) {
        const double middle = (low + high) / 2;
        if (layer.cost(middle) <= wanted) high = middle;
        else low = middle;
    }
    return high;
}

double index_bytes(double count, double sparsity) {
    const double kept = count * (1 - sparsity),
                 far = std::pow(sparsity, 255);  // the chance that a gap is longer than a byte
    return std::min(count / 8, kept * (1 + (far < 1 ? far / (1 - far) : 0)) + (count - kept) / 255 * far);
}

const Sensitivity::Layer* find_layer(const Sensitivity& sensitivity, const std::string& name) {
    for (const Sensitivity::Layer& layer : sensitivity.layers)
        if (layer.name == name) return &layer;
    return nullptr;
}

double present_sparsity(nn::Module& module, const std::string& name) {
    const auto* mask = module.named_parameters(name).front().second->find_transform<nn::Mask>();
    return mask ? mask->sparsity() : 0;
}

}  // namespace

double CostModel::at(double sparsity) const {
    double total = fixed;
    for (const Layer& layer : layers) total += layer.cost(sparsity);
    return total;
}

CostModel size_cost(nn::Module& module, const Sensitivity& sensitivity) {
    CostModel costs;
    for (const auto& [name, parameter] : module.named_parameters()) {
        const auto count = static_cast<double>(parameter->value().numel());
        const auto each = static_cast<double>(size_of(parameter->value().dtype()));
        costs.dense += count * each;
        if (!find_layer(sensitivity, name)) {
            costs.fixed += count * each;
            continue;
        }
        costs.layers.push_back({name, [=, present = present_sparsity(module, name)](double wanted) {
            const double sparsity = std::max(present, wanted);
            return count * each * (1 - sparsity) +
                   (sparsity > 0 ? index_bytes(count, sparsity) : 0);  // 0: there is no mask
        }});
    }
    return costs;
}

CostModel macs_cost(nn::Module& module, const Tensor& x, const Sensitivity& sensitivity) {
    const Graph graph = nn::trace(module, x);
    std::map<std::string, double> macs;
    CostModel costs;
    for (const GraphNode& node : graph.nodes) {
        const auto count = static_cast<double>(lathe::macs(graph, node));
        costs.dense += count;
        const GraphNode* weight = count > 0 ? graph.parameter(node, 1) : nullptr;
        if (weight && find_layer(sensitivity, weight->path))
            macs[weight->path] += count;
        else
            costs.fixed += count;
    }
    for (const Sensitivity::Layer& layer : sensitivity.layers)
        costs.layers.push_back({layer.name, [count = macs[layer.name], present = present_sparsity(module, layer.name)](
                                                double wanted) { return count * (1 - std::max(present, wanted)); }});
    return costs;
}

std::vector<std::pair<std::string, double>> Allocation::sparsities() const {
    std::vector<std::pair<std::string, double>> found;
    for (const Layer& layer : layers) found.emplace_back(layer.name, layer.sparsity);
    return found;
}

std::string Allocation::str() const {
    TextTable table({"layer", "sparsity", "cost"});
    for (const Layer& layer : layers)
        table.add({layer.name, percent(layer.sparsity), format("%.0f", layer.cost)});
    table.add_rule();
    table.add({"total", percent(1 - cost / dense), format("%.0f", cost)});
    return table.str() + format("of a cost of %.0f; loss +%.4f by the scan\n", dense, loss);
}

Allocation allocate(const Sensitivity& sensitivity, const CostModel& costs, double budget) {
    struct Piece {  // from one corner of a layer's hull to the next
        size_t layer, corner;
        double saved, price;
    };
    std::vector<std::vector<Choice>> hulls;
    std::vector<Piece> pieces;
    Allocation result{.layers = {}, .cost = costs.fixed, .dense = costs.dense};
    double smallest = costs.fixed;
    for (const CostModel::Layer& layer : costs.layers) {
        const Sensitivity::Layer* scanned = find_layer(sensitivity, layer.name);
        check(scanned, "allocate: the scan has no layer '", layer.name, "'");
        hulls.push_back(hull_of(*scanned, layer, sensitivity.dense.loss));
        const std::vector<Choice>& hull = hulls.back();
        for (size_t i = 1; i < hull.size(); ++i) {
            const double saved = hull[i - 1].cost - hull[i].cost;
            pieces.push_back({hulls.size() - 1, i, saved, (hull[i].loss - hull[i - 1].loss) / saved});
        }
        result.layers.push_back({layer.name, 0, hull.front().cost});
        result.cost += hull.front().cost;
        smallest += hull.back().cost;
    }
    check(budget >= smallest, "allocate: expected a target of at least ", smallest / costs.dense,
          " of dense with no layer beyond the sparsities scanned, got ", budget / costs.dense);

    std::stable_sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) { return a.price < b.price; });
    for (const Piece& piece : pieces) {
        if (result.cost <= budget) break;
        Allocation::Layer& layer = result.layers[piece.layer];
        const Choice &from = hulls[piece.layer][piece.corner - 1], &to = hulls[piece.layer][piece.corner];
        const double saved = std::min(piece.saved, result.cost - budget);
        layer.sparsity = to.sparsity;
        if (saved < piece.saved)
            layer.sparsity = sparsity_for(costs.layers[piece.layer], from.cost - saved, from.sparsity, to.sparsity);
        layer.cost = costs.layers[piece.layer].cost(layer.sparsity);
        result.cost -= from.cost - layer.cost;
        result.loss += piece.price * saved;
    }
    return result;
}

}  // namespace lathe::compress
