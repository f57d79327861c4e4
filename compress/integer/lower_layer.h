#pragma once
#include <utility>

#include "lathe/compress/integer/program.h"

namespace lathe::compress {

// The constants of an integer layer (core/ops/integer/conv2d.cpp).
struct LayerNumbers {
    Tensor weight{}, bias{}, fraction{}, multiplier{}, shift{}, addend_multiplier{}, addend_shift{};
    Attributes attributes{};
};

// Of a folded layer with a weight that has integers, between the grids of its input, its addend (null: none) and its
// result. The sums of output channel k are in steps of x.scale * weight.scale[k], and so is the bias, as whole steps
// and a fraction. Error: no integers, asymmetric ones beyond i8, sums or a bias beyond 32 bits.
LayerNumbers lower_layer(const Graph& graph, const GraphNode& node, const Grid8& x, const Grid8* addend,
                         const Grid8& y);

// The integers that the activation of a node keeps its result in.
std::pair<int64_t, int64_t> ends_of(const GraphNode& node, const Grid8& y);

}  // namespace lathe::compress
