#include "lathe/compress/weights/prune.h"

#include <algorithm>
#include <limits>

#include "lathe/compress/chosen.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/mask.h"

namespace lathe::compress {

namespace {

void check_sparsity(double sparsity, const std::string& of = {}) {
    check(sparsity >= 0 && sparsity < 1, "prune: expected a sparsity in [0, 1)", of.empty() ? "" : " for '" + of + "'",
          ", got ", sparsity);
}

Tensor mask_of(nn::Parameter& parameter) {
    auto* mask = parameter.find_transform<nn::Mask>();
    if (!mask) {
        Tensor all = Tensor::full(parameter.shape(), 1, DType::u8);
        mask = static_cast<nn::Mask*>(&parameter.add_transform(std::make_unique<nn::Mask>(all)));
    }
    return mask->mask();
}

int64_t zeros_in(const Tensor& mask) {
    const uint8_t* keep = mask.data<uint8_t>();
    return std::count(keep, keep + mask.numel(), 0);
}

// Leaves out the weights that a mask has zeroed for good.
void exclude(const Tensor& mask, Tensor& importance) {
    const uint8_t* keep = mask.data<uint8_t>();
    float* to = importance.mutable_data<float>();
    for (int64_t i = 0; i < importance.numel(); ++i)
        if (!keep[i]) to[i] = -std::numeric_limits<float>::infinity();
}

}  // namespace

WeightReport::Layer WeightReport::total() const {
    Layer total{.name = "total"};
    for (const Layer& layer : layers) {
        total.weights += layer.weights;
        total.zeros_before += layer.zeros_before;
        total.zeros += layer.zeros;
    }
    return total;
}

std::string WeightReport::str() const {
    TextTable table({"layer", "weights", "kept", "sparsity"});
    const auto add = [&](const Layer& layer) {
        table.add({layer.name, std::to_string(layer.weights), std::to_string(layer.weights - layer.zeros),
                   percent(layer.sparsity())});
    };
    for (const Layer& layer : layers) add(layer);
    table.add_rule();
    add(total());
    return table.str() + notes();
}

std::string WeightReport::notes() const {
    std::vector<std::string> emptied;
    for (const Layer& layer : layers)
        if (layer.weights > 0 && layer.zeros == layer.weights) emptied.push_back(layer.name);
    return (emptied.empty() ? "" : "no weight is left of " + printable(joined(emptied)) + "\n") +
           passed_over_note(passed_over, pattern);
}

std::string passed_over_note(const std::vector<std::string>& layers, const Pattern& pattern) {
    if (layers.empty()) return "";
    return concatenated("passed over, since ", pattern.m, " does not divide their input channels: ",
                          printable(joined(layers)), "\n");
}

WeightPruner::WeightPruner(nn::Module& module, const WeightPruneOptions& o) : module_(module), options_(o) {
    const bool by_pattern = o.pattern.kind == Pattern::n_of_m;
    check_sparsity(o.sparsity);
    check(!by_pattern || (o.sparsity == 0 && o.layers.empty()), "prune: the pattern ", o.pattern.str(),
          " brings its sparsity along, got another one");
    const double shared =
        by_pattern ? 1 - static_cast<double>(o.pattern.n) / static_cast<double>(o.pattern.m) : o.sparsity;
    options_.sparsity = shared;
    for (const auto& [name, parameter] : chosen_weights(module, o.only, o.skip))
        targets_.push_back({name, parameter, shared, false});
    check(!targets_.empty(), "prune: expected parameters of two dimensions or more, got none");
    for (const auto& [pattern, sparsity] : o.layers) {
        check_sparsity(sparsity, pattern);
        for (const auto& [name, parameter] : module.named_parameters(pattern))
            for (Target& target : targets_)
                if (target.parameter == parameter) target.sparsity = sparsity, target.own = true;
    }
    pass_over_misfits();
    std::erase_if(targets_, [&](const Target& target) {
        const bool pooled = o.global && !target.own;
        return (pooled ? shared : target.sparsity) == 0 && !target.parameter->find_transform<nn::Mask>();
    });
    for (Target& target : targets_) {
        target.limit = mask_of(*target.parameter);
        target.initial = zeros_in(target.limit);
    }
}

void WeightPruner::pass_over_misfits() {
    const Pattern& pattern = options_.pattern;
    if (pattern.kind != Pattern::n_of_m) return;
    std::erase_if(targets_, [&](const Target& target) {
        const bool fits = target.parameter->value().dim(-1) % pattern.m == 0;
        if (!fits) passed_over_.push_back(target.name);
        return !fits;
    });
    check(!targets_.empty(), "prune: ", pattern.str(), " fits no layer: expected input channels that ", pattern.m,
          " divides");
}

NamedParameters WeightPruner::parameters() const {
    NamedParameters found;
    for (const Target& target : targets_) found.emplace_back(target.name, target.parameter);
    return found;
}

// Of all layers without a sparsity of their own, together.
double WeightPruner::shared_sparsity(const OnTheWay& on_the_way) const {
    double zeros = 0, weights = 0;
    for (const Target& target : targets_) {
        if (target.own) continue;
        zeros += static_cast<double>(target.initial);
        weights += static_cast<double>(target.limit.numel());
    }
    return on_the_way(zeros / weights, options_.sparsity);
}

std::vector<Tensor> WeightPruner::importances(bool regrow) {
    std::vector<Tensor> found = weight_importance(module_, parameters(), options_.importance);
    for (size_t i = 0; i < targets_.size(); ++i)
        exclude(regrow ? targets_[i].limit : mask_of(*targets_[i].parameter), found[i]);
    return found;
}

WeightReport WeightPruner::prune(const OnTheWay& on_the_way, bool regrow) {
    const std::vector<Tensor> importance = importances(regrow);
    std::vector<Tensor> masks(targets_.size()), together;
    for (size_t i = 0; i < targets_.size(); ++i) {
        const Target& target = targets_[i];
        const PathScope scope(target.name);
        const double initial =
            static_cast<double>(target.initial) / static_cast<double>(std::max<int64_t>(1, target.limit.numel()));
        if (options_.global && !target.own)
            together.push_back(importance[i]);
        else
            masks[i] = make_mask(importance[i], on_the_way(initial, target.sparsity), options_.pattern, options_.ties);
    }
    if (!together.empty()) {
        together = make_masks(together, shared_sparsity(on_the_way), options_.pattern, options_.ties);
        auto next = together.begin();
        for (Tensor& mask : masks)
            if (!mask) mask = std::move(*next++);
    }
    WeightReport report{.layers = {}, .passed_over = passed_over_, .pattern = options_.pattern};
    for (size_t i = 0; i < targets_.size(); ++i) {
        const Target& target = targets_[i];
        const int64_t before = zeros_in(mask_of(*target.parameter)), after = zeros_in(masks[i]);
        // Blocks that an earlier mask has holes in are none.
        const Pattern pattern = nn::has_pattern(masks[i], options_.pattern) ? options_.pattern : Pattern{};
        nn::set_mask(*target.parameter, std::move(masks[i]), pattern);
        report.layers.push_back({target.name, target.limit.numel(), before, after});
    }
    return report;
}

WeightReport WeightPruner::prune() {
    return prune([](double, double final) { return final; });
}

WeightReport prune_weights(nn::Module& module, const WeightPruneOptions& options) {
    return WeightPruner(module, options).prune();
}

WeightReport prune_magnitude(nn::Module& module, WeightPruneOptions options) {
    options.importance.kind = WeightImportance::magnitude;
    return prune_weights(module, options);
}

}  // namespace lathe::compress
