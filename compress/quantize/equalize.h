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
    int64_t relus = 0;  // that were a relu6 before
    double change = 0;  // what that does to the output: its signal-to-noise ratio in decibels (calibrate.h)
    std::string str() const;
};

// Cross-layer equalisation (Nagel et al. 2019, "Data-free quantization through weight equalization and bias
// correction", arXiv 1906.04721, section 4.1). Where channels go from one layer to another through a relu or nothing
// else, dividing what makes channel i by s and multiplying what reads it by s changes nothing for a network in floating
// point: relu(s x) = s relu(x). With s = sqrt(range of the first's channel / range of the second's) the two ranges of
// every channel become equal, so that one grid suits all channels. Round after round over chains of layers, until
// nothing moves.
//
// A relu6 on the way becomes a relu, as there (table 1: 71.72% of MobileNetV2 become 71.70%): clipping channel i at
// 6 / s_i instead would keep the function, but ask for a bound for each channel of whatever runs the network later. What
// lay beyond 6 changes, little in a trained network; the report says how much (calibrate.h).
//
// The graph is one without norms whose parameters' nodes hold their dense values (fold_norms.h); these change.
EqualizeReport equalize(Graph& graph);

}  // namespace lathe::compress
