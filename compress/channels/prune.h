#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "lathe/compress/channels/absorb.h"
#include "lathe/compress/channels/importance.h"
#include "lathe/core/graph/cost.h"

namespace lathe::compress {

// How much is cut: `ratio`, `ratios` or one of the targets, and `layers`.
struct ChannelPruneOptions {
    double ratio = 0;              // share of the channels that goes, in [0, 1): keeps round(channels * (1 - ratio))
    std::vector<double> ratios{};  // or one for each group that can be cut, in the report's order
    // Other ratios for the groups of some layers, by a pattern as in Module::named_parameters ("layer1.*.conv1"); later
    // ones win.
    std::vector<std::pair<std::string, double>> layers{};
    std::vector<std::string> skip{};  // layers whose channels stay, as patterns
    // Or the smallest ratio with which the network costs at most this share of what it does now:
    double target_macs = 0;
    double target_parameters = 0;
    double target_cost = 0;  // in terms of `cost`, for example a latency looked up for every layer's shape
    std::function<double(const Graph&)> cost{};

    bool global = false;     // ranks the channels of all groups together, else each group loses the same share
    double max_ratio = 1;    // no group loses more
    int64_t round_to = 1;    // keeps multiples of so many channels where a group has as many
    ChannelImportanceOptions importance{};
    // Constants of cut channels (absorb_constants) also where padding makes that inexact
    bool absorb_at_borders = true;
    MacsCount macs = MacsCount::pure;  // of target_macs and the report
};

// What was cut, and what is left of the network's cost for one image.
struct ChannelReport {
    struct Group {
        // That make the channels; "layer2.0.conv2 (16 of 32)" where others are in other groups
        std::vector<std::string> layers;
        int64_t before = 0, after = 0;
        std::string fixed;                // why they were left alone
    };
    std::vector<Group> groups;
    std::vector<Absorption> absorbed;
    int64_t parameters_before = 0, parameters_after = 0;
    int64_t macs_before = 0, macs_after = 0;
    MacsCount macs = MacsCount::pure;

    std::string str() const;  // a table
};

// Cuts the least important channels out of every layer: the module is smaller afterwards, its optimizer slots and masks
// went along, and a Model can be saved. Kept channels stay in their order. x [N, ...]: an input that the module
// accepts. Error: options out of range, a pattern that matches nothing (names the nearest) or nothing that can be cut,
// or a target that even one channel a group does not reach (says the smallest reachable).
ChannelReport prune_channels(nn::Module& module, const Tensor& x, const ChannelPruneOptions& options);

// Only sorts the channels of every layer by falling importance, which leaves the module's outputs as they were.
void sort_channels(nn::Module& module, const Tensor& x, const ChannelImportanceOptions& importance = {});

}  // namespace lathe::compress
