#include <algorithm>
#include <optional>

#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/core/kernels/sparse/prepared.h"
#include "lathe/core/kernels/sparse/speed.h"

namespace lathe::kernels::sparse {
namespace {

// Values that a pattern stores for weights [K, taps, C] of one group after another, or -1 if it cannot hold them.
int64_t stored_in_blocks(const Conv2dShape& g, const float* weight, int64_t height, int64_t width) {
    const int64_t row = g.kernel_h * g.kernel_w * (g.in_c / g.groups);
    if (g.out_c / g.groups % height != 0 || g.in_c / g.groups % width != 0) return -1;
    int64_t stored = 0;
    for (int64_t k = 0; k < g.out_c; k += height)
        for (int64_t i = 0; i < row; i += width) {
            bool any = false;
            for (int64_t j = 0; j < height * width; ++j) any |= weight[(k + j % height) * row + i + j / height] != 0;
            stored += any ? height * width : 0;
        }
    return stored;
}

int64_t stored_of_four(const Conv2dShape& g, const float* weight, int64_t kept) {
    const int64_t count = g.out_c * g.kernel_h * g.kernel_w * (g.in_c / g.groups);
    if (g.in_c / g.groups % 4 != 0) return -1;
    for (int64_t i = 0; i < count; i += 4)
        if (4 - std::count(weight + i, weight + i + 4, 0.0f) > kept) return -1;
    return count / 4 * kept;
}

}  // namespace

SparsePattern pattern_of(const Conv2dShape& g, const float* weight) {
    const int64_t kept = nonzeros(g, weight);
    const auto fits = [&](int64_t stored) { return stored >= 0 && stored * 100 <= kept * 105; };
    if (fits(stored_in_blocks(g, weight, 4, 1))) return SparsePattern::column_blocks;
    if (fits(stored_in_blocks(g, weight, 1, 4))) return SparsePattern::row_blocks;
    if (fits(stored_of_four(g, weight, 1))) return SparsePattern::one_of_four;
    if (fits(stored_of_four(g, weight, 2))) return SparsePattern::two_of_four;
    return SparsePattern::unstructured;
}

bool faster(const Conv2dShape& g, SparsePattern pattern, double sparsity) {
    if (g.batch * g.out_h * g.out_w < kFewestPixels) return false;
    const BreakEven* row = speed().break_even_of(g);
    return row && sparsity >= row->sparsity[static_cast<size_t>(pattern)];
}

// The weights' own pattern where that is faster than dense.
std::optional<SparsePattern> chosen(const Conv2dShape& g, const float* weight) {
    const int64_t count = g.out_c * g.kernel_h * g.kernel_w * (g.in_c / g.groups);
    const double sparsity = 1 - static_cast<double>(nonzeros(g, weight)) / static_cast<double>(count);
    if (sparsity < kLeastSparsity) return {};
    const SparsePattern pattern = pattern_of(g, weight);
    return faster(g, pattern, sparsity) ? std::optional(pattern) : std::nullopt;
}

std::unique_ptr<PreparedConv2d> prepare_fastest(const Conv2dShape& g, const float* weight) {
    const std::optional<SparsePattern> pattern = chosen(g, weight);
    return pattern ? prepare(g, weight, *pattern) : conv2d_prepare(g, weight);
}

double cycles(const Conv2dShape& g, const float* weight, SparsePattern pattern) {
    const int64_t count = nonzeros(g, weight);
    const double transpose = speed().sparse.transpose;
    return best_tiling(lined_up(g), pattern, count, transpose).cycles(pattern, count, transpose);
}

double fastest_cycles(const Conv2dShape& g, const float* weight) {
    const std::optional<SparsePattern> pattern = chosen(g, weight);
    return pattern ? cycles(g, weight, *pattern) : speed().dense_cycles(g);
}

}  // namespace lathe::kernels::sparse
