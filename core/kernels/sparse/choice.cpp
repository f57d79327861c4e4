#include <algorithm>
#include <string>

#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/kernels/sparse/break_even.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/core/kernels/sparse/prepared.h"

namespace lathe::kernels::sparse {

bool faster(const Conv2dShape& g, SparsePattern pattern, double sparsity) {
    constexpr int64_t kPixels = 16;
    if (g.batch * g.out_h * g.out_w < kPixels) return false;
    const std::string dense = conv2d_algorithm(g);
    const int64_t channels = std::min(g.in_c / g.groups, g.out_c / g.groups);
    for (const BreakEven& row : break_even().rows)
        if (dense == row.dense && channels >= row.channels) return sparsity >= row.sparsity[static_cast<size_t>(pattern)];
    return false;
}

static bool faster(const Conv2dShape& g, const float* weight, SparsePattern pattern) {
    const int64_t count = g.out_c * g.kernel_h * g.kernel_w * (g.in_c / g.groups);
    const double sparsity = 1 - static_cast<double>(nonzeros(g, weight)) / static_cast<double>(count);
    return sparsity >= 0.25 && faster(g, pattern, sparsity);  // below, no pattern gains
}

std::unique_ptr<PreparedConv2d> prepare_fastest(const Conv2dShape& g, const float* weight, SparsePattern pattern) {
    return faster(g, weight, pattern) ? prepare(g, weight, pattern) : conv2d_prepare(g, weight);
}

// Multiply-adds that the kernels make of each lane and cycle (measured on a Zen 5 with AVX-512, at batches of 32).
double dense_cycles(const Conv2dShape& g) {
    const std::string dense = conv2d_algorithm(g);
    const double rate = dense == "winograd4" ? 6.5 : dense == "depthwise" ? 0.65 : 1.7;
    return static_cast<double>(g.macs()) / (rate * table().sparse.lanes);
}

double fastest_cycles(const Conv2dShape& g, const float* weight, SparsePattern pattern) {
    if (!faster(g, weight, pattern)) return dense_cycles(g);
    const int64_t count = nonzeros(g, weight);
    return best_tiling(lined_up(g), pattern, count, kTransposing).cycles(pattern, count, kTransposing);
}

}  // namespace lathe::kernels::sparse
