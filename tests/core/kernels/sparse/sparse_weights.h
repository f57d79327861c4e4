#pragma once
#include <algorithm>
#include <random>
#include <vector>

#include "lathe/core/kernels/sparse/filter.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/core/kernels/conv2d/conv2d_cases.h"
#include "lathe/tests/core/kernels/random_values.h"

using lathe::kernels::SparsePattern;

inline constexpr SparsePattern kPatterns[] = {SparsePattern::unstructured, SparsePattern::one_of_four,
                                              SparsePattern::two_of_four, SparsePattern::row_blocks,
                                              SparsePattern::column_blocks};

inline bool needs_fours(SparsePattern pattern) {
    return pattern != SparsePattern::unstructured && pattern != SparsePattern::column_blocks;
}

// Weights [K, taps, C] of a pattern, about the share `density` of them other than zero.
inline std::vector<float> sparse_weights(SparsePattern pattern, int64_t k, int64_t taps, int64_t c, double density,
                                         unsigned seed) {
    std::vector<float> weight = random_values<float>(k * taps * c, seed);
    std::mt19937 engine(seed + 1);
    std::uniform_real_distribution<double> uniform;
    std::vector<bool> keep(weight.size());
    for (int64_t i = 0; i < k * taps * c; ++i) {
        const int64_t row = i / (taps * c);
        const size_t at = static_cast<size_t>(i);
        if (pattern == SparsePattern::row_blocks && i % 4 != 0) keep[at] = keep[at - 1];
        else if (pattern == SparsePattern::column_blocks && row % 4 != 0)
            keep[at] = keep[at - static_cast<size_t>(taps * c)];
        else keep[at] = uniform(engine) < density;
        if (pattern == SparsePattern::one_of_four || pattern == SparsePattern::two_of_four) {
            const int64_t most = pattern == SparsePattern::one_of_four ? 1 : 2;
            if (std::count(keep.begin() + i / 4 * 4, keep.begin() + i, true) >= most) keep[at] = false;
        }
    }
    for (size_t i = 0; i < weight.size(); ++i)
        if (!keep[i]) weight[i] = 0;
    return weight;
}

// Whether the filter gives the same bits for one and two threads.
inline bool same_for_threads(const lathe::kernels::PreparedConv2d& layer, const lathe::kernels::Conv2dShape& g) {
    const int before = lathe::threads();
    const auto x = random_values<float>(x_size(g), 1);
    std::vector<float> y[2];
    for (int i : {0, 1}) {
        lathe::set_threads(i + 1);
        y[i].resize(static_cast<size_t>(y_size(g)));
        layer.forward(g.batch, x.data(), {}, y[i].data());
    }
    lathe::set_threads(before);
    return y[0] == y[1];
}
