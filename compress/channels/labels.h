#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lathe/core/graph/graph.h"

// Which channels of a traced network must be cut together: what ChannelGroups is made from.
namespace lathe::compress {

// What a parameter's axis does with channels.
enum class ChannelUse {
    filter,     // makes them: the rows of a convolution or linear layer, an embedding's columns
    bias,       // of such a layer
    depthwise,  // filters each by itself
    reader,     // reads them: the columns of a convolution or linear layer
    scale,      // of a batch or layer norm
    shift,
    statistic,  // running mean or variance
    other,      // one value for each, met by an elementwise op
};

inline bool makes_channels(ChannelUse use) { return use == ChannelUse::filter || use == ChannelUse::depthwise; }

// A label for each index of an axis; none for an axis without channels (batch, pixels).
using AxisLabels = std::vector<int>;

struct ChannelLabels {
    // Of every node of the graph by axis. Labels count from 0 in order of appearance; indices with equal ones are kept
    // or cut together.
    std::vector<std::vector<AxisLabels>> nodes;
    std::vector<std::string> fixed;                       // of each label: why it cannot be cut, else ""
    std::map<std::pair<int, int>, ChannelUse> uses;       // (node, axis) of parameters and buffers
    // Padding whose width follows from the channels there are: it must stay half in front, half behind.
    struct Centred {
        std::string path;
        std::vector<int> front, back;
    };
    std::vector<Centred> centred;
};

// Follows the channels through the graph, op by op. Where it cannot (an unknown op, the network's output), they are
// fixed.
ChannelLabels label_channels(const Graph& graph);

}  // namespace lathe::compress
