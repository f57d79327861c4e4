#include "lathe/compress/channels/groups.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "lathe/nn/snapshot.h"

namespace lathe::compress {

namespace {

// How often a label appears along an axis of a node: {node, axis, times}. Labels with equal lists and the same reason
// for being fixed are the channels of one group.
using Appearance = std::array<int, 3>;
struct Footprint {
    std::vector<Appearance> appearances;
    std::vector<std::vector<int64_t>> indices;
};

std::vector<Footprint> footprints(const ChannelLabels& labels) {
    std::vector<Footprint> found(labels.fixed.size());
    for (size_t node = 0; node < labels.nodes.size(); ++node)
        for (size_t axis = 0; axis < labels.nodes[node].size(); ++axis)
            for (size_t index = 0; index < labels.nodes[node][axis].size(); ++index) {
                Footprint& at = found[static_cast<size_t>(labels.nodes[node][axis][index])];
                const Appearance here{static_cast<int>(node), static_cast<int>(axis), 0};
                if (at.appearances.empty() || at.appearances.back()[0] != here[0] ||
                    at.appearances.back()[1] != here[1]) {
                    at.appearances.push_back(here);
                    at.indices.emplace_back();
                }
                ++at.appearances.back()[2];
                at.indices.back().push_back(static_cast<int64_t>(index));
            }
    return found;
}

// The order of an axis in which channel order[r] of a group stands where slots[r] stood.
void place(const ChannelMember& member, const std::vector<int64_t>& order, const std::vector<int64_t>& slots,
           std::vector<std::pair<int64_t, int64_t>>& entries) {
    for (size_t r = 0; r < order.size(); ++r) {
        const auto &to = member.indices[static_cast<size_t>(slots[r])],
                   &from = member.indices[static_cast<size_t>(order[r])];
        for (size_t i = 0; i < from.size(); ++i) entries.emplace_back(to[i], from[i]);
    }
}

bool is_identity(const std::vector<int64_t>& indices, int64_t extent) {
    for (size_t i = 0; i < indices.size(); ++i)
        if (indices[i] != static_cast<int64_t>(i)) return false;
    return static_cast<int64_t>(indices.size()) == extent;
}

}  // namespace

std::vector<std::string> ChannelGroup::layers() const {
    std::vector<std::string> found;
    for (const ChannelMember& member : members)
        if (makes_channels(member.use)) found.push_back(member.layer());
    return found;
}

ChannelGroups::ChannelGroups(nn::Module& module, const Tensor& x)
    : module_(module), x_(x.rows(0, 1)), graph_(nn::trace(module, x_)), shares_(graph_.nodes.size()) {
    find_groups();
    fix_what_does_not_follow();
}

void ChannelGroups::find_groups() {
    const auto parameters = nn::by_name(module_.named_parameters());
    const auto buffers = nn::by_name(module_.named_buffers());

    const ChannelLabels labels = label_channels(graph_);
    const std::vector<Footprint> found = footprints(labels);
    std::map<std::pair<std::vector<Appearance>, std::string>, size_t> numbers;
    std::vector<std::pair<size_t, int64_t>> where;  // of each label: group and channel
    for (size_t label = 0; label < found.size(); ++label) {
        const Footprint& footprint = found[label];
        const auto [number, is_new] = numbers.try_emplace({footprint.appearances, labels.fixed[label]}, groups_.size());
        if (is_new) {
            ChannelGroup group{.fixed = labels.fixed[label]};
            for (const auto& [node, axis, times] : footprint.appearances) {
                shares_[static_cast<size_t>(node)].push_back({axis, groups_.size(), times});
                const GraphNode& value = graph_.nodes[static_cast<size_t>(node)];
                if (value.op != "parameter" && value.op != "buffer") continue;
                const bool is_parameter = value.op == "parameter";
                group.members.push_back({.use = labels.uses.at({node, axis}), .name = value.path,
                                         .parameter = is_parameter ? parameters.at(value.path) : nullptr,
                                         .buffer = is_parameter ? nullptr : buffers.at(value.path), .axis = axis});
            }
            groups_.push_back(std::move(group));
        }
        ChannelGroup& group = groups_[number->second];
        where.emplace_back(number->second, group.channels++);
        size_t member = 0;
        for (size_t i = 0; i < footprint.appearances.size(); ++i) {
            const std::string& op = graph_.nodes[static_cast<size_t>(footprint.appearances[i][0])].op;
            if (op == "parameter" || op == "buffer") group.members[member++].indices.push_back(footprint.indices[i]);
        }
    }
    centre(labels, where);
    for (ChannelGroup& group : groups_)
        if (group.channels == 1 && group.fixed.empty()) group.fixed = "it is a single channel";
}

// The zero channels that a centred padding adds must be one group, the front ones first, with nothing else in it.
void ChannelGroups::centre(const ChannelLabels& labels, const std::vector<std::pair<size_t, int64_t>>& where) {
    for (const auto& [path, front, back] : labels.centred) {
        std::vector<int> added = front;
        added.insert(added.end(), back.begin(), back.end());
        std::vector<size_t> touched;
        bool fits = true;
        for (size_t i = 0; i < added.size(); ++i) {
            const auto& [group, channel] = where[static_cast<size_t>(added[i])];
            touched.push_back(group);
            fits = fits && group == touched[0] && channel == static_cast<int64_t>(i);
        }
        ChannelGroup& group = groups_[touched[0]];
        fits = fits && group.channels == static_cast<int64_t>(added.size());
        if (fits) group.front = static_cast<int64_t>(front.size());
        else
            for (size_t number : touched)
                if (groups_[number].fixed.empty()) groups_[number].fixed = "'pad' at '" + path + "' must stay centred";
    }
}

std::vector<int64_t> ChannelGroups::channels() const {
    std::vector<int64_t> counts;
    for (const ChannelGroup& group : groups_) counts.push_back(group.channels);
    return counts;
}

Graph ChannelGroups::predict(const std::vector<int64_t>& kept) const {
    check(kept.size() == groups_.size(), "channel groups: expected ", groups_.size(), " counts, got ", kept.size());
    Graph graph = graph_;
    for (size_t node = 0; node < shares_.size(); ++node)
        for (const Share& share : shares_[node])
            graph.nodes[node].shape[share.axis] -= share.times * (groups_[share.group].channels - kept[share.group]);
    return graph;
}

int64_t ChannelGroups::predict_parameters(const std::vector<int64_t>& kept) const {
    const Graph after = predict(kept);
    int64_t count = module_.parameter_count();
    for (size_t i = 0; i < graph_.nodes.size(); ++i)
        if (graph_.nodes[i].op == "parameter") count += after.nodes[i].shape.numel() - graph_.nodes[i].shape.numel();
    return count;
}

ChannelChoice ChannelGroups::first_channels(const std::vector<int64_t>& kept) const {
    ChannelChoice choice;
    for (int64_t count : kept) {
        choice.emplace_back(static_cast<size_t>(count));
        std::iota(choice.back().begin(), choice.back().end(), 0);
    }
    return choice;
}

// Runs the module with one channel less in every group. When that fails or gives another shape than predicted, groups
// are added one by one, and those with which it fails are fixed.
void ChannelGroups::fix_what_does_not_follow() {
    const std::vector<int64_t> all = channels();
    std::vector<int64_t> less = all;
    const nn::Snapshot snapshot(module_);
    const auto failure = [&](const std::vector<int64_t>& kept) {
        cut(first_channels(kept));
        std::string found = mismatch(kept);
        snapshot.restore(module_);
        return found;
    };
    for (size_t g = 0; g < groups_.size(); ++g)
        if (groups_[g].fixed.empty()) --less[g];
    if (failure(less).empty()) return;
    less = all;
    for (size_t g = 0; g < groups_.size(); ++g) {
        if (!groups_[g].fixed.empty()) continue;
        --less[g];
        if (const std::string why = failure(less); !why.empty()) {
            groups_[g].fixed = why;
            ++less[g];
        }
    }
}

// What the module, as it is, does differently from the prediction; empty: nothing.
std::string ChannelGroups::mismatch(const std::vector<int64_t>& kept) {
    try {
        const Graph now = nn::trace(module_, x_), expected = predict(kept);
        if (now.nodes.size() != expected.nodes.size()) return "the network runs other ops with fewer channels";
        for (size_t i = 0; i < now.nodes.size(); ++i) {
            const GraphNode &is = now.nodes[i], &should = expected.nodes[i];
            if (is.op != should.op || (is.activation && !(is.shape == should.shape)))
                return concatenated("'", should.op, "' at '", should.path, "' does not follow its channels");
        }
        return "";
    } catch (const Error& error) {
        return concatenated("its size is fixed in the network's code: ", error.what());
    }
}

void ChannelGroups::check_choice(const ChannelChoice& choice) const {
    check(choice.size() == groups_.size(), "channel groups: expected a choice for each of the ", groups_.size(),
          " groups, got ", choice.size());
    for (size_t g = 0; g < groups_.size(); ++g) {
        const ChannelGroup& group = groups_[g];
        const std::vector<int64_t>& kept = choice[g];
        std::vector<bool> seen(static_cast<size_t>(group.channels), false);
        for (int64_t channel : kept) {
            check(channel >= 0 && channel < group.channels && !seen[static_cast<size_t>(channel)],
                  "channel groups: expected channels of 0 to ", group.channels - 1, " once each, got ", channel);
            seen[static_cast<size_t>(channel)] = true;
        }
        check(!kept.empty(), "channel groups: expected at least one channel to stay");
        check(group.fixed.empty() || is_identity(kept, group.channels),
              "channel groups: a group cannot be cut: ", group.fixed);
    }
}

void ChannelGroups::cut(const ChannelChoice& choice) {
    std::map<std::pair<nn::Parameter*, int>, std::vector<std::pair<int64_t, int64_t>>> of_parameters;
    std::map<std::pair<Tensor*, int>, std::vector<std::pair<int64_t, int64_t>>> of_buffers;
    for (size_t g = 0; g < groups_.size(); ++g) {
        const ChannelGroup& group = groups_[g];
        const auto count = static_cast<int64_t>(choice[g].size()), front = group.front ? count / 2 : count;
        std::vector<int64_t> slots(choice[g].size());
        for (int64_t r = 0; r < count; ++r) slots[static_cast<size_t>(r)] = r < front ? r : group.front + r - front;
        for (const ChannelMember& member : group.members)
            place(member, choice[g], slots,
                  member.parameter ? of_parameters[{member.parameter, member.axis}]
                                   : of_buffers[{member.buffer, member.axis}]);
    }
    const auto order = [](std::vector<std::pair<int64_t, int64_t>>& entries) {
        std::sort(entries.begin(), entries.end());
        std::vector<int64_t> indices;
        for (const auto& [to, from] : entries) indices.push_back(from);
        return indices;
    };
    for (auto& [where, entries] : of_parameters) {
        const std::vector<int64_t> indices = order(entries);
        if (!is_identity(indices, where.first->shape()[where.second])) where.first->select_(where.second, indices);
    }
    for (auto& [where, entries] : of_buffers) {
        const std::vector<int64_t> indices = order(entries);
        if (!is_identity(indices, where.first->dim(where.second)))
            *where.first = where.first->select(where.second, indices);
    }
}

void ChannelGroups::select_(const ChannelChoice& choice) {
    check_choice(choice);
    std::vector<int64_t> kept;
    for (const auto& channels : choice) kept.push_back(static_cast<int64_t>(channels.size()));
    const nn::Snapshot snapshot(module_);
    cut(choice);
    const std::string failure = mismatch(kept);
    if (failure.empty()) return;
    snapshot.restore(module_);
    fail("channel groups: nothing was cut: ", failure);
}

}  // namespace lathe::compress
