#pragma once
#include <map>
#include <string>
#include <vector>

#include "lathe/core/graph/graph.h"

namespace lathe::compress {

// What was equalised: one line a pair of layers.
struct EqualizeReport {
    struct Pair {
        std::string first, second;  // their weights
        double before = 0, after = 0;  // the largest range of an output channel of the first over the smallest
    };
    std::vector<Pair> pairs;
    std::map<std::string, std::vector<double>> scaled{};  // by weight: what its output channels were multiplied by
    int64_t channels = 0, held = 0;  // that pass a relu6, and those of them that reach 6
    double same = 0;  // the output's signal-to-noise ratio in decibels beside the network as it was (calibrate.h)
    std::string str() const;
};

// Cross-layer equalisation (Nagel et al. 2019, "Data-free quantization through weight equalization and bias
// correction", arXiv 1906.04721, section 4.1). Where channels go from one layer to another through a relu or nothing
// else, dividing what makes channel i by s and multiplying what reads it by s changes nothing for a network in floating
// point: relu(s x) = s relu(x). With s = sqrt(range of the first's channel / range of the second's) the two ranges of
// every channel become equal, so that one grid suits all channels. Round after round over chains of layers, until
// nothing moves.
//
// A relu6 on the way is followed where it is known what reaches it. Nagel et al. take it for a relu, which changes what
// lies beyond 6; a bound of 6 / s for each channel would have to be kept by all that runs the network later. Here it
// stays as it is: a channel that reaches 6 is not scaled, any other no further than to 6, where it is not clipped yet.
// On the images that tell the reach the function stays the same; the report says how nearly (calibrate.h).
//
// The graph is one without norms whose parameters' nodes hold their dense values (fold_norms.h); these change.
// `reach`: the greatest input of each channel of nodes relu6; others are not followed.
using Reach = std::map<int, std::vector<double>>;
EqualizeReport equalize(Graph& graph, const Reach& reach = {});

}  // namespace lathe::compress
