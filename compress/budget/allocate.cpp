#include "lathe/compress/budget/allocate.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "lathe/compress/budget/size.h"
#include "lathe/core/graph/cost.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/mask.h"

namespace lathe::compress {

namespace {

struct Choice {
    double sparsity;
    int bits;
    double loss, cost;
};

// What a layer can be, at one width: from the least sparsity scanned, or in floating point from 0, to the greatest, by
// how much its loss exceeds the dense model's: linear between the points scanned, and never falling.
void add_choices(std::vector<Choice>& choices, std::vector<Sensitivity::Point> points, const CostModel::Layer& layer,
                 double dense) {
    constexpr int kBetween = 16;  // costs may bend between two scanned sparsities
    const int bits = points.front().bits;
    double least = INFINITY;
    const auto add = [&](double sparsity, double loss) {
        const double cost = layer.cost(sparsity, bits);
        if (cost >= least) return;
        choices.push_back({sparsity, bits, loss, cost});
        least = cost;
    };
    std::stable_sort(points.begin(), points.end(),
                     [](const auto& a, const auto& b) { return a.sparsity < b.sparsity; });
    double from = bits == kFloatBits ? 0 : points.front().sparsity,
           loss_from = bits == kFloatBits ? 0 : std::max(0.0, points.front().loss - dense);
    add(from, loss_from);
    for (const Sensitivity::Point& point : points) {
        const double loss = std::max(loss_from, point.loss - dense);
        for (int i = 1; i <= kBetween && point.sparsity > from; ++i) {
            const double share = static_cast<double>(i) / kBetween;
            add(i == kBetween ? point.sparsity : from + (point.sparsity - from) * share,
                loss_from + (loss - loss_from) * share);
        }
        from = point.sparsity;
        loss_from = loss;
    }
}

std::vector<Choice> choices_of(const Sensitivity::Layer& scanned, const CostModel::Layer& layer, double dense) {
    std::map<int, std::vector<Sensitivity::Point>> widths;
    for (const Sensitivity::Point& point : scanned.points) widths[point.bits].push_back(point);
    check(!widths.empty(), "allocate: the scan tried nothing on '", layer.name, "'");
    std::vector<Choice> choices;
    for (const auto& [bits, points] : widths) add_choices(choices, points, layer, dense);
    std::stable_sort(choices.begin(), choices.end(), [](const Choice& a, const Choice& b) {
        return a.cost != b.cost ? a.cost > b.cost : a.loss < b.loss;
    });
    return choices;
}

// The corners of the lower hull of loss over falling cost.
std::vector<Choice> hull_of(const std::vector<Choice>& choices) {
    std::vector<Choice> hull;
    const auto slope = [](const Choice& a, const Choice& b) { return (b.loss - a.loss) / (a.cost - b.cost); };
    for (const Choice& next : choices) {
        if (!hull.empty() && next.cost >= hull.back().cost) continue;
        while (!hull.empty() && next.loss < hull.back().loss) hull.pop_back();
        while (hull.size() >= 2 && slope(hull[hull.size() - 2], hull.back()) >= slope(hull.back(), next))
            hull.pop_back();
        hull.push_back(next);
    }
    return hull;
}

// The smallest sparsity between two choices at which the layer costs no more than `wanted`.
double sparsity_for(const CostModel::Layer& layer, int bits, double wanted, double low, double high) {
    for (int i = 0; i < 60; ++i) {
        const double middle = (low + high) / 2;
        if (layer.cost(middle, bits) <= wanted) high = middle;
        else low = middle;
    }
    return high;
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

// A parameter of a scanned layer's quantizer, which gives way to others.
bool belongs_to_scanned(const nn::Parameter& parameter, const std::string& name, const Sensitivity& sensitivity) {
    return parameter.owned() && find_layer(sensitivity, name.substr(0, name.rfind('.')));
}

// Of the integers that a node's value stands for, seen through what only moves values; kFloatBits: of none.
int bits_of(const Graph& graph, int node) {
    for (; node >= 0 && graph[node].is_op(); node = graph[node].inputs[0]) {
        if (graph[node].op == "fake_quantize") return static_cast<int>(graph[node].attributes.integer("bits"));
        if (lathe::macs(graph, graph[node]) > 0) break;
    }
    return kFloatBits;
}

// Changes what was chosen where that costs at most `left` more, by the greatest gain for the cost first.
void spend(double left, const std::vector<std::vector<Choice>>& choices, std::vector<Choice>& chosen) {
    for (;;) {
        const Choice* best = nullptr;
        size_t layer = 0;
        double gain = 0;
        for (size_t i = 0; i < chosen.size(); ++i)
            for (const Choice& other : choices[i]) {
                const double more = other.cost - chosen[i].cost, less = chosen[i].loss - other.loss;
                if (more <= 0 || more > left || less <= gain * more) continue;
                best = &other, layer = i, gain = less / more;
            }
        if (!best) return;
        left -= best->cost - chosen[layer].cost;
        chosen[layer] = *best;
    }
}

}  // namespace

double CostModel::at(double sparsity, int bits) const {
    double total = fixed;
    for (const Layer& layer : layers) total += layer.cost(sparsity, bits);
    return total;
}

CostModel size_cost(nn::Module& module, const Sensitivity& sensitivity) {
    CostModel costs;
    for (const auto& [name, parameter] : module.named_parameters()) {
        if (sensitivity.has_bits() && belongs_to_scanned(*parameter, name, sensitivity)) continue;
        const auto count = static_cast<double>(parameter->value().numel());
        const auto each = static_cast<double>(size_of(parameter->value().dtype()));
        costs.dense += count * each;
        if (!find_layer(sensitivity, name)) {
            costs.fixed += count * each;
            continue;
        }
        const double scales = each * static_cast<double>(
            sensitivity.few_bits == FewBits::channel_scales ? parameter->value().dim(0) : 1);
        const bool codebook = sensitivity.few_bits == FewBits::codebook;
        costs.layers.push_back({name, [=, present = present_sparsity(module, name)](double wanted, int bits) {
            const double sparsity = std::max(present, wanted), kept = count * (1 - sparsity);
            return (bits == kFloatBits ? kept * each
                                       : std::ceil(kept * bits / 8) + (codebook ? each * std::exp2(bits) : scales)) +
                   (sparsity > 0 ? index_bytes(count, sparsity) : 0);  // 0: there is no mask
        }});
    }
    return costs;
}

namespace {

// Multiply-accumulates that meet a weight which is not zero, each as dear as `price` says for the bits of the weight
// and of what the layer reads.
CostModel work_cost(nn::Module& module, const Tensor& x, const Sensitivity& sensitivity,
                    double (*price)(int weight_bits, int activation_bits)) {
    const Graph graph = nn::trace(module, x);
    std::map<std::string, std::map<int, double>> macs;  // of layers by the bits that they read
    CostModel costs;
    for (const GraphNode& node : graph.nodes) {
        const auto count = static_cast<double>(lathe::macs(graph, node));
        if (count == 0) continue;
        costs.dense += count * price(kFloatBits, kFloatBits);
        const int read = bits_of(graph, node.inputs[0]);
        const GraphNode* weight = graph.parameter(node, 1);
        if (weight && find_layer(sensitivity, weight->path)) macs[weight->path][read] += count;
        else costs.fixed += count * price(kFloatBits, read);
    }
    for (const Sensitivity::Layer& layer : sensitivity.layers)
        costs.layers.push_back({layer.name, [counts = macs[layer.name], present = present_sparsity(module, layer.name),
                                             price](double wanted, int bits) {
            double total = 0;
            for (const auto& [read, count] : counts)
                total += count * (1 - std::max(present, wanted)) * price(bits, read);
            return total;
        }});
    return costs;
}

}  // namespace

CostModel macs_cost(nn::Module& module, const Tensor& x, const Sensitivity& sensitivity) {
    return work_cost(module, x, sensitivity, [](int, int) { return 1.0; });
}

CostModel bit_operations_cost(nn::Module& module, const Tensor& x, const Sensitivity& sensitivity) {
    return work_cost(module, x, sensitivity,
                     [](int weight, int activation) { return static_cast<double>(weight * activation); });
}

std::vector<std::pair<std::string, double>> Allocation::sparsities() const {
    std::vector<std::pair<std::string, double>> found;
    for (const Layer& layer : layers) found.emplace_back(layer.name, layer.sparsity);
    return found;
}

std::vector<std::pair<std::string, int>> Allocation::bits() const {
    std::vector<std::pair<std::string, int>> found;
    for (const Layer& layer : layers) found.emplace_back(layer.name, layer.bits);
    return found;
}

std::string Allocation::str() const {
    const auto any = [&](const auto& holds) { return std::any_of(layers.begin(), layers.end(), holds); };
    const bool quantized = any([](const Layer& layer) { return layer.bits != kFloatBits; }),
               pruned = !quantized || any([](const Layer& layer) { return layer.sparsity > 0; });
    const auto row = [&](const std::string& name, const std::string& sparsity, const std::string& bits, double cost_of,
                         const std::string& loss_of) {
        std::vector<std::string> cells{name};
        if (pruned) cells.push_back(sparsity);
        if (quantized) cells.push_back(bits);
        cells.push_back(format("%.0f", cost_of));
        if (quantized) cells.push_back(loss_of);
        return cells;
    };
    std::vector<std::string> header{"layer"};
    if (pruned) header.push_back("sparsity");
    if (quantized) header.push_back("bits");
    header.push_back("cost");
    if (quantized) header.push_back("loss");
    TextTable table(header);
    for (const Layer& layer : layers)
        table.add(row(layer.name, percent(layer.sparsity),
                      layer.bits == kFloatBits ? "float" : std::to_string(layer.bits), layer.cost,
                      format("+%.4f", layer.loss)));
    table.add_rule();
    table.add(row("total", quantized ? "" : percent(1 - cost / dense), "", cost, format("+%.4f", loss)));
    return table.str() + format("of a cost of %.0f; loss +%.4f by the scan\n", dense, loss);
}

Allocation allocate(const Sensitivity& sensitivity, const CostModel& costs, double budget) {
    struct Piece {  // from one corner of a layer's hull to the next
        size_t layer, corner;
        double saved, price;
    };
    std::vector<std::vector<Choice>> choices, hulls;
    std::vector<Choice> chosen;
    std::vector<Piece> pieces;
    double cost = costs.fixed, smallest = costs.fixed;
    for (const CostModel::Layer& layer : costs.layers) {
        const Sensitivity::Layer* scanned = find_layer(sensitivity, layer.name);
        check(scanned, "allocate: the scan has no layer '", layer.name, "'");
        choices.push_back(choices_of(*scanned, layer, sensitivity.dense.loss));
        hulls.push_back(hull_of(choices.back()));
        const std::vector<Choice>& hull = hulls.back();
        for (size_t i = 1; i < hull.size(); ++i) {
            const double saved = hull[i - 1].cost - hull[i].cost;
            pieces.push_back({hulls.size() - 1, i, saved, (hull[i].loss - hull[i - 1].loss) / saved});
        }
        chosen.push_back(hull.front());
        cost += hull.front().cost;
        smallest += hull.back().cost;
    }
    check(budget >= smallest, "allocate: expected a target of at least ", smallest / costs.dense,
          " of dense with no layer beyond what was scanned, got ", budget / costs.dense);

    std::stable_sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) { return a.price < b.price; });
    for (const Piece& piece : pieces) {
        if (cost <= budget) break;
        Choice& now = chosen[piece.layer];
        const Choice &from = hulls[piece.layer][piece.corner - 1], &to = hulls[piece.layer][piece.corner];
        const double saved = cost - budget;
        now = to;
        if (saved < piece.saved && from.bits == to.bits) {
            const CostModel::Layer& layer = costs.layers[piece.layer];
            now.sparsity = sparsity_for(layer, to.bits, from.cost - saved, from.sparsity, to.sparsity);
            now.cost = layer.cost(now.sparsity, to.bits);
            now.loss = from.loss + piece.price * saved;
        }
        cost -= from.cost - now.cost;
    }
    spend(budget - cost, choices, chosen);

    Allocation result{.layers = {}, .cost = costs.fixed, .dense = costs.dense};
    for (size_t i = 0; i < chosen.size(); ++i) {
        const Choice& now = chosen[i];
        result.layers.push_back({costs.layers[i].name, now.sparsity, now.cost, now.bits, now.loss});
        result.cost += now.cost;
        result.loss += now.loss;
    }
    return result;
}

}  // namespace lathe::compress
