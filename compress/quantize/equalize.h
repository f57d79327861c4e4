#pragma once
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
    std::string str() const;
};

// Cross-layer equalisation (Nagel et al. 2019, "Data-free quantization through weight equalization and bias
// correction", arXiv 1906.04721, section 4.1). Where channels go from one layer to another through a relu or nothing
// else, dividing what makes channel i by s and multiplying what reads it by s changes nothing for a network in floating
// point: relu(s x) = s relu(x). With s = sqrt(range of the first's channel / range of the second's) the two ranges of
// every channel become equal, so that one grid suits all channels. Round after round over chains of layers, until
// nothing moves. A relu6 on the way is not followed: it would be another function.
//
// The graph is one without norms whose parameters' nodes hold their dense values (fold_norms.h); these change.
EqualizeReport equalize(Graph& graph);

}  // namespace lathe::compress
