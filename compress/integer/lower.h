#pragma once
#include "lathe/compress/integer/program.h"

namespace lathe::compress {

// A prepared network (a fake_quantize on every value that integers are to stand for, weights with integers: Lowered) as
// integers:
//  - layers, with the addition and the activation that fold.h gives them, additions, products, means and any function
//    of one value (by a table of 256 results) end in the grid of the fake_quantize behind them;
//  - what only moves values, and maxima, keep their grid; so do means without a fake_quantize of their own;
//  - a softmax or log_softmax at the end stays in floating point.
// Weights of which all integers fit into 4 or 2 bits are stored so.
// Error: an op that has no integer form, a value without a grid, a weight without integers, sums beyond 32 bits; it
// names the node.
IntegerGraph lower_to_integer(const Graph& prepared);
IntegerProgram lower_to_integer(nn::Model& prepared);

}  // namespace lathe::compress
