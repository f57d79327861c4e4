#pragma once
#include <functional>
#include <vector>

#include "lathe/core/kernels/conv2d/shape.h"
#include "lathe/core/kernels/sparse/filter.h"

namespace lathe::kernels {

// Weights [K, R, S, C/G] of a pattern to time a kernel with, 0 or 1: about the share `sparsity` is 0, or what N of 4
// leaves.
std::vector<float> random_weights(const Conv2dShape& shape, SparsePattern pattern, double sparsity);

// The median time of each, in seconds. They take turns, so that what disturbs the machine disturbs all of them, after a
// turn to warm up: for `seconds` in all, but at least 3 turns.
std::vector<double> median_seconds(const std::vector<std::function<void()>>& works, double seconds);
// Of a forward by each layer. All are of this shape.
std::vector<double> median_seconds(const std::vector<const PreparedConv2d*>& layers, const Conv2dShape& shape,
                                   double seconds);

}  // namespace lathe::kernels
