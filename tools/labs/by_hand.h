#pragma once

// What the quantization lab does on a few numbers, before it has a network: each prints what comes out beside what the
// lab expects, integer by integer. Error: they differ.
namespace lathe::tools {

void kmeans_by_hand();           // 25 weights, 4 values; the figure's numbers are printed
void scale_and_zero_by_hand();   // ranges of integers, the scale and zero point of a range, 25 numbers on that grid
void linear_layer_by_hand();     // weights, input, bias, shifted bias, sums and output of one layer at 2 bits

}  // namespace lathe::tools
