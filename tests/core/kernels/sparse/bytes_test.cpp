#include <doctest/doctest.h>

#include "lathe/core/kernels/sparse/filter.h"
#include "lathe/core/measure/timing.h"

// The exercise of compress/README.md, stop 6, solved: from which share of zeros on sparse weights take less memory.
using namespace lathe;
using namespace lathe::kernels;

namespace {

constexpr Conv2dShape kLayer{.batch = 1, .in_h = 8, .in_w = 8, .in_c = 64, .out_h = 8, .out_w = 8, .out_c = 64,
                             .kernel_h = 3, .kernel_w = 3, .pad_top = 1, .pad_left = 1};

// Bytes that the kernels hold over those of the dense weights.
double share(SparsePattern pattern, double sparsity) {
    const std::vector<float> weight = random_weights(kLayer, pattern, sparsity);
    const SparseFilter filter(pattern, kLayer.out_c, 9, kLayer.in_c, 1, weight.data(), 16);
    return static_cast<double>(filter.bytes()) / static_cast<double>(4 * kLayer.weight_count());
}

}  // namespace

TEST_CASE("a weight and its index: 8 bytes alone, 4 1/4 in 2 of 4, 5 in a block; the break-even in memory") {
    CHECK(share(SparsePattern::unstructured, 0.4) > 1);
    CHECK(share(SparsePattern::unstructured, 0.6) < 1);
    CHECK(share(SparsePattern::unstructured, 0.9) == doctest::Approx(0.1 * 8 / 4).epsilon(0.1));
    CHECK(share(SparsePattern::two_of_four, 0) == doctest::Approx(0.5 * 4.25 / 4).epsilon(0.03));
    CHECK(share(SparsePattern::row_blocks, 0.9) == doctest::Approx(0.1 * 5 / 4).epsilon(0.15));
}
