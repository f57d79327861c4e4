#include "lathe/compress/channels/prune.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <set>

#include "lathe/core/text_table.h"

namespace lathe::compress {

namespace {

using Scores = std::vector<std::vector<double>>;

void check_options(const ChannelPruneOptions& o) {
    const auto check_ratio = [](double ratio) {
        check(ratio >= 0 && ratio < 1, "prune channels: expected a ratio in [0, 1), got ", ratio);
    };
    check_ratio(o.ratio);
    for (double ratio : o.ratios) check_ratio(ratio);
    for (const auto& [pattern, ratio] : o.layers) check_ratio(ratio);
    const auto check_target = [](const char* name, double target) {
        check(target >= 0 && target <= 1, "prune channels: expected a share of the ", name, " in (0, 1], got ", target);
        return target > 0;
    };
    const int ways = (o.ratio > 0) + !o.ratios.empty() + check_target("MACs", o.target_macs) +
                     check_target("parameters", o.target_parameters) + check_target("cost", o.target_cost);
    check(ways <= 1, "prune channels: expected one of ratio, ratios and the targets, got ", ways);
    check((o.target_cost > 0) == static_cast<bool>(o.cost),
          "prune channels: expected target_cost and cost together, got only one");
    check(o.max_ratio > 0 && o.max_ratio <= 1, "prune channels: expected a max_ratio in (0, 1], got ", o.max_ratio);
    check(o.round_to >= 1, "prune channels: expected to round to multiples of 1 or more, got ", o.round_to);
}

// Decides how many channels of each group stay.
class Planner {
public:
    Planner(const ChannelGroups& groups, nn::Module& module, const Scores& scores, const ChannelPruneOptions& o)
        : groups_(groups), options_(o), fixed_(scores.size()), own_(scores.size()) {
        for (size_t g = 0; g < scores.size(); ++g) {
            fixed_[g] = groups.groups()[g].fixed;
            if (fixed_[g].empty() && scores[g].empty())
                fixed_[g] = concatenated("nothing in it has the importance ", name_of(o.importance.kind));
        }
        for (const std::string& pattern : o.skip)
            for (size_t g : matching(module, pattern))
                if (fixed_[g].empty()) fixed_[g] = "skipped";
        for (const auto& [pattern, ratio] : o.layers) set_ratio(matching(module, pattern), pattern, ratio);
        if (o.global) rank(scores);
        bool any = fixed_.empty();
        for (size_t g = 0; g < fixed_.size(); ++g) any |= can_cut(g);
        check(any || o.ratio == 0, "prune channels: none can be cut: ", any ? "" : fixed_[0]);
    }

    // Why a group is left alone; empty: it is not.
    const std::string& fixed(size_t g) const { return fixed_[g]; }
    bool can_cut(size_t g) const { return fixed_[g].empty(); }

    std::vector<int64_t> plan() const {
        if (!options_.ratios.empty()) return listed();
        if (options_.target_macs > 0)
            return bisect("MACs", options_.target_macs, [&](const auto& kept) { return macs(kept); });
        if (options_.target_parameters > 0)
            return bisect("parameters", options_.target_parameters,
                          [&](const auto& kept) { return static_cast<double>(groups_.predict_parameters(kept)); });
        if (options_.target_cost > 0)
            return bisect("cost", options_.target_cost,
                          [&](const auto& kept) { return options_.cost(groups_.predict(kept)); });
        return at_ratio(options_.ratio);
    }

private:
    double macs(const std::vector<int64_t>& kept) const {
        return static_cast<double>(lathe::macs(groups_.predict(kept), options_.macs));
    }

    // The groups whose channels a layer of that name makes.
    std::vector<size_t> matching(nn::Module& module, const std::string& pattern) const {
        std::set<const nn::Parameter*> named;
        for (const auto& [name, parameter] : module.named_parameters(pattern)) named.insert(parameter);
        std::vector<size_t> found;
        for (size_t g = 0; g < groups_.groups().size(); ++g)
            for (const ChannelMember& member : groups_.groups()[g].members)
                if (makes_channels(member.use) && named.contains(member.parameter) &&
                    (found.empty() || found.back() != g))
                    found.push_back(g);
        return found;
    }

    void set_ratio(const std::vector<size_t>& groups, const std::string& pattern, double ratio) {
        bool any = false;
        for (size_t g : groups)
            if (can_cut(g)) own_[g] = ratio, any = true;
        check(any, "prune channels: no channels of '", pattern, "' can be cut",
              groups.empty() ? "; it makes none" : ": " + fixed_[groups[0]]);
    }

    // The lab's int(round()): halves go to the even neighbour.
    int64_t keep(size_t g, double ratio) const {
        const int64_t channels = groups_.groups()[g].channels;
        ratio = own_[g].value_or(std::min(ratio, options_.max_ratio));
        return rounded(g, static_cast<int64_t>(std::nearbyint(static_cast<double>(channels) * (1 - ratio))));
    }

    int64_t rounded(size_t g, int64_t keep) const {
        const int64_t channels = groups_.groups()[g].channels, step = options_.round_to;
        if (step > 1 && channels >= step) keep = std::max<int64_t>(1, (keep + step / 2) / step) * step;
        return std::clamp<int64_t>(keep, 1, channels);
    }

    std::vector<int64_t> listed() const {
        std::vector<int64_t> kept = groups_.channels();
        size_t next = 0;
        for (size_t g = 0; g < kept.size(); ++g) {
            if (!can_cut(g)) continue;
            if (next < options_.ratios.size()) kept[g] = keep(g, options_.ratios[next]);
            ++next;
        }
        check(next == options_.ratios.size(), "prune channels: expected ", next,
              " ratios, one for each group that can be cut, got ", options_.ratios.size());
        return kept;
    }

    std::vector<int64_t> at_ratio(double ratio) const {
        std::vector<int64_t> kept = groups_.channels();
        if (options_.global) cut_ranked(kept, ratio);
        for (size_t g = 0; g < kept.size(); ++g)
            if (can_cut(g)) kept[g] = options_.global && !own_[g] ? rounded(g, kept[g]) : keep(g, ratio);
        return kept;
    }

    // Importances of different groups are compared as multiples of their group's mean, but for those that are meant to
    // be compared as they are.
    void rank(const Scores& scores) {
        const bool comparable = options_.importance.kind == ChannelImportance::batch_norm ||
                                options_.importance.kind == ChannelImportance::taylor;
        for (size_t g = 0; g < scores.size(); ++g) {
            if (!can_cut(g) || own_[g]) continue;
            const double sum = std::accumulate(scores[g].begin(), scores[g].end(), 0.0);
            const double unit = comparable || sum == 0 ? 1 : sum / static_cast<double>(scores[g].size());
            for (double score : scores[g]) ranking_.emplace_back(score / unit, g);
        }
        std::stable_sort(ranking_.begin(), ranking_.end(),
                         [](const auto& a, const auto& b) { return a.first < b.first; });
    }

    void cut_ranked(std::vector<int64_t>& kept, double ratio) const {
        auto left = static_cast<int64_t>(std::nearbyint(static_cast<double>(ranking_.size()) * ratio));
        for (const auto& [score, g] : ranking_) {
            if (left-- <= 0) break;
            const double least = static_cast<double>(groups_.groups()[g].channels) * (1 - options_.max_ratio);
            if (kept[g] > std::max<int64_t>(1, std::llround(least))) --kept[g];
        }
    }

    // Fewer channels never cost more, so the smallest sufficient ratio is found by halving. Many groups lose a channel
    // at that very ratio; those for which the budget still has room keep it.
    template <class Cost>
    std::vector<int64_t> bisect(const char* what, double target, Cost cost) const {
        const double dense = cost(groups_.channels()), limit = target * dense;
        const double smallest = cost(at_ratio(1));
        check(smallest <= limit, "prune channels: expected a target of at least ", smallest / dense, " of the ", what,
              ", got ", target);
        double low = 0, high = 1;
        if (cost(at_ratio(low)) <= limit) return at_ratio(low);
        for (int step = 0; step < 40; ++step) {
            const double middle = (low + high) / 2;
            if (cost(at_ratio(middle)) <= limit) high = middle;
            else low = middle;
        }
        std::vector<int64_t> kept = at_ratio(high);
        const std::vector<int64_t> more = at_ratio(low);
        for (size_t g = 0; g < kept.size(); ++g) {
            const int64_t less = std::exchange(kept[g], more[g]);
            if (cost(kept) > limit) kept[g] = less;
        }
        return kept;
    }

    const ChannelGroups& groups_;
    const ChannelPruneOptions& options_;
    std::vector<std::string> fixed_;          // of each group
    std::vector<std::optional<double>> own_;  // its ratio, where it has one of its own
    std::vector<std::pair<double, size_t>> ranking_;  // of all channels that can be cut: importance, group
};

// Channels by falling importance; equal ones in their order.
std::vector<int64_t> by_importance(const std::vector<double>& scores) {
    std::vector<int64_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
    });
    return order;
}

std::vector<int64_t> all_of(int64_t channels) {
    std::vector<int64_t> all(static_cast<size_t>(channels));
    std::iota(all.begin(), all.end(), 0);
    return all;
}

const char* fate_of(Absorption::How how) {
    switch (how) {
        case Absorption::How::exact: return "now in its bias";
        case Absorption::How::interior: return "now in its bias, inexact at the padded border";
        case Absorption::How::lost: return "which is lost";
    }
    return "";
}

// The layers that make a group's channels, with how many of theirs where they make others, too.
std::vector<std::string> described_layers(const ChannelGroup& group) {
    std::vector<std::string> found;
    for (const ChannelMember& member : group.members) {
        if (!makes_channels(member.use)) continue;
        const auto own = group.channels * static_cast<int64_t>(member.indices[0].size()),
                   all = member.value().dim(member.axis);
        found.push_back(member.layer() + (own < all ? concatenated(" (", own, " of ", all, ")") : ""));
    }
    return found;
}

}  // namespace

ChannelReport prune_channels(nn::Module& module, const Tensor& x, const ChannelPruneOptions& options) {
    check_options(options);
    ChannelGroups groups(module, x);
    const Scores scores = channel_importance(groups, module, options.importance);
    const Planner planner(groups, module, scores, options);
    const std::vector<int64_t> kept = planner.plan();

    ChannelReport report;
    report.macs = options.macs;
    report.parameters_before = module.parameter_count();
    report.macs_before = macs(groups.graph(), options.macs);
    report.macs_after = macs(groups.predict(kept), options.macs);
    ChannelChoice choice;
    for (size_t g = 0; g < kept.size(); ++g) {
        const ChannelGroup& group = groups.groups()[g];
        choice.push_back(planner.can_cut(g) ? by_importance(scores[g]) : all_of(group.channels));
        choice.back().resize(static_cast<size_t>(kept[g]));
        std::sort(choice.back().begin(), choice.back().end());
        if (const auto layers = described_layers(group); !layers.empty())
            report.groups.push_back({layers, group.channels, kept[g], planner.fixed(g)});
    }
    report.absorbed = absorb_constants(groups, choice, options.absorb_at_borders);
    groups.select_(choice);
    report.parameters_after = module.parameter_count();
    return report;
}

void sort_channels(nn::Module& module, const Tensor& x, const ChannelImportanceOptions& importance) {
    ChannelGroups groups(module, x);
    const Scores scores = channel_importance(groups, module, importance);
    ChannelChoice choice;
    for (size_t g = 0; g < scores.size(); ++g) {
        const ChannelGroup& group = groups.groups()[g];
        choice.push_back(group.fixed.empty() && !scores[g].empty() ? by_importance(scores[g]) : all_of(group.channels));
    }
    groups.select_(choice);
}

std::string ChannelReport::str() const {
    TextTable table({"channels", "kept", "layers"});
    for (const Group& group : groups) {
        std::string layers;
        for (const std::string& layer : group.layers) layers += (layers.empty() ? "" : ", ") + layer;
        if (!group.fixed.empty()) layers += "  (left alone: " + group.fixed + ")";
        table.add({std::to_string(group.before), std::to_string(group.after), layers});
    }
    std::string text = table.str();
    for (const auto& [layer, channels, how] : absorbed)
        text += concatenated(layer, ": ", channels, " cut channel", channels == 1 ? "" : "s", " held a constant, ",
                               fate_of(how), "\n");
    const auto change = [](int64_t before, int64_t after) {
        return concatenated(before, " -> ", after, format(" (%.1f%%)", 100.0 * double(after) / double(before)));
    };
    return text + "parameters " + change(parameters_before, parameters_after) + ", MACs" +
           (macs == MacsCount::lab ? " as the lab counts " : " ") + change(macs_before, macs_after) + "\n";
}

}  // namespace lathe::compress
