#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lathe/core/graph/graph.h"

// Which channels of a traced network must be cut together: what ChannelGroups is made from.
//
// Each index of each axis begins with a label of its own. An op that needs two of them to agree unites their labels
// (union-find), and what ends with one label goes or stays as one. On a residual block behind a convolution, with the
// labels of 4 channels written as one letter (tests/compress/channels/residual_block_test.cpp):
//
//     image - stem [a,3,3,image] -+- conv1 [b,3,3,a] - bn1 [b] - conv2 [c,3,3,b] - bn2 [c] -+- add - pool - fc [out,a]
//                                 |                                                         |
//                                 +---------------------------------------------------------+
//
//   stem    makes a; it reads the image, whose channels are fixed
//   conv1   makes b, its last axis is united with what it reads: a
//   bn1     scale, shift and statistics are united with b
//   conv2   makes c, reads b;  bn2 is united with c
//   add     element meets element: c is united with a
//   fc      reads a; makes out, the network's output: fixed
// Two sets can be cut. b: conv1's filters, bn1, conv2's columns. a with c: stem's and conv2's filters, bn2, and the
// columns of conv1 and fc. Without the addition c would be a set of its own. A chain of blocks unites all their a's:
// that is why the channels between the blocks of a stage go together, and those inside each block alone.
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
