#include <algorithm>

#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/core/kernels/sparse/prepared.h"
#include "lathe/core/kernels/sparse/speed.h"

namespace lathe::kernels::sparse {

bool faster(const Conv2dShape& g, SparsePattern pattern, double sparsity) {
    if (g.batch * g.out_h * g.out_w < kFewestPixels) return false;
    const BreakEven* row = speed().break_even_of(g);
    return row && sparsity >= row->sparsity[static_cast<size_t>(pattern)];
}

static bool faster(const Conv2dShape& g, const float* weight, SparsePattern pattern) {
    const int64_t count = g.out_c * g.kernel_h * g.kernel_w * (g.in_c / g.groups);
    const double sparsity = 1 - static_cast<double>(nonzeros(g, weight)) / static_cast<double>(count);
    return sparsity >= kLeastSparsity && faster(g, pattern, sparsity);
}

std::unique_ptr<PreparedConv2d> prepare_fastest(const Conv2dShape& g, const float* weight, SparsePattern pattern) {
    return faster(g, weight, pattern) ? prepare(g, weight, pattern) : conv2d_prepare(g, weight);
}

double cycles(const Conv2dShape& g, const float* weight, SparsePattern pattern) {
    const int64_t count = nonzeros(g, weight);
    const SparseCosts& cost = speed().sparse;
    return best_tiling(lined_up(g), pattern, count, cost.transpose).cycles(cost, pattern, count, cost.transpose);
}

double fastest_cycles(const Conv2dShape& g, const float* weight, SparsePattern pattern) {
    return faster(g, weight, pattern) ? cycles(g, weight, pattern) : speed().dense_cycles(g);
}

}  // namespace lathe::kernels::sparse
