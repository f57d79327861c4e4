#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lathe/nn/module.h"

namespace lathe::nn {

// What a piece of a network makes: bytes of activations in all, and of its output.
struct PieceCost {
    int64_t made = 0, output = 0;
};

// Runs a network with recomputed activations (Chen et al. 2016, arXiv 1604.06174): its pieces (Module::pieces) are cut
// into segments of which only the inputs are kept; backward runs a segment again when it comes to it. The same bits for
// less memory and one more forward, except of the last segment. It refers to the network and must live until backward
// is through.
//
//     nn::Recomputed net(model, x);
//     backward(ops::cross_entropy(net(x), labels));
class Recomputed {
public:
    // Runs the first images of x through the network, to see what its layers make, and cuts it so that the peak is
    // lowest.
    Recomputed(Module& network, const Tensor& x);

    Variable operator()(const Variable& x) const;
    // The names of the pieces of each segment.
    std::vector<std::vector<std::string>> segments() const;

private:
    struct Piece {
        std::string name, parent;
        Module* module;
    };
    Variable run(size_t begin, size_t end, Variable x) const;

    std::vector<Piece> pieces_;
    std::vector<size_t> ends_;  // of the segments
};

// Cuts a chain of pieces into segments and returns where each ends, so that the greatest sum of a segment's activations
// and of the outputs of all segments before it is least.
std::vector<size_t> cut_segments(const std::vector<PieceCost>& pieces);

}  // namespace lathe::nn
