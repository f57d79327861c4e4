#include "lathe/core/kernels/gemm/panels.h"

#include <doctest/doctest.h>

#include <cstring>

#include "lathe/core/kernels/gemm/gemm.h"
#include "lathe/core/kernels/gemm/portable.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/core/kernels/indexed_weights.h"
#include "lathe/tests/core/kernels/random_values.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

}  // namespace

TEST_CASE("indices of 3 bits and their values, by hand") {
    // Two columns, of one word each: indices 1, 7, 2 and 5, 0, 4.
    std::vector<float> codebook(256), scale{10, 1};
    for (size_t i = 0; i < codebook.size(); ++i) codebook[i] = static_cast<float>(i % 8);
    const std::vector<uint32_t> words{1u | 7u << 3 | 2u << 6, 5u | 0u << 3 | 4u << 6};
    std::vector<float> values(6);
    portable::look_up({3, 2, words.data(), codebook.data(), scale.data()}, 0, 3, values.data());
    CHECK(values == std::vector<float>{10, 5, 70, 0, 20, 4});
    portable::look_up({3, 2, words.data(), codebook.data(), scale.data()}, 1, 1, values.data());
    CHECK(values == std::vector<float>{70, 0, 70, 0, 20, 4});
}

TEST_CASE("every instruction set looks up the bits that the portable definition does") {
    for_each_isa([] {
        const PanelTable& kernels = table().panel;
        for (int bits = 1; bits <= 8; ++bits)
            for (int64_t k : {0, 1, 5, 33, 300}) {
                CAPTURE(bits);
                CAPTURE(k);
                const IndexedValues weight(kernels.columns, k, bits);
                const PanelWeights panels(1, k, kernels.columns, weight.of());
                const Panels view = panels.panels();
                for (int64_t first : {int64_t{0}, k / 3, k})
                    for (int64_t count : {int64_t{0}, (k - first) / 2, k - first}) {
                        std::vector<float> want(static_cast<size_t>(count * kernels.columns), NAN), got = want;
                        portable::look_up(view.indexed, first, count, want.data());
                        kernels.look_up(view.indexed, first, count, got.data());
                        CHECK(same_bits(got, want));
                        for (int64_t i = 0; i < count * kernels.columns; ++i) {  // column j is row j of the weight
                            const int64_t row = i % kernels.columns, l = first + i / kernels.columns;
                            want[static_cast<size_t>(i)] = weight.values[static_cast<size_t>(row * k + l)];
                        }
                        CHECK(same_bits(got, want));
                    }
            }
    });
}

TEST_CASE("a product has the same bits from indices and from their values") {
    const auto product = [](const PreparedMatrix& b, int64_t m, int64_t n, int64_t k, bool accumulate) {
        const auto a = random_values<float>(m * k, 1), bias = random_values<float>(n, 2);
        auto c = random_values<float>(m * n, 3);
        b.multiply(m, a.data(), k, c.data(), n, {bias.data(), -0.5f, 1.5f, accumulate});
        return c;
    };
    struct Extents {
        int64_t n, k;
    };
    for_each_isa([&] {
        for (int bits = 1; bits <= 8; ++bits)
            for (const auto& [n, k] : {Extents{1, 1}, {10, 7}, {24, 40}, {33, 65}, {70, 700}, {5, 0}})
                for (int64_t m : {0, 1, 3, 17, 130})
                    for (bool scaled : {false, true}) {
                        CAPTURE(bits);
                        CAPTURE(n);
                        CAPTURE(k);
                        CAPTURE(m);
                        const IndexedValues weight(n, k, bits, scaled);
                        const PreparedMatrix values(Trans::yes, k, n, weight.values.data(), k),
                            indices(k, n, weight.of());
                        CHECK(same_bits(product(indices, m, n, k, scaled), product(values, m, n, k, scaled)));
                    }
    });
}

TEST_CASE("indices take their bits, and the same results for one and two threads") {
    const int before = threads();
    const int64_t columns = table().panel.columns, n = 3 * columns - 1, k = 640;
    std::vector<float> results[2];
    for (int bits = 1; bits <= 8; ++bits) {
        const IndexedValues weight(n, k, bits);
        const PreparedMatrix indices(k, n, weight.of());
        CHECK(indices.bytes() == 3 * columns * k * bits / 8 + (256 + 3 * columns) * 4);
        CHECK(indices.name("direct") == "direct " + std::to_string(bits) + "-bit");
        const auto a = random_values<float>(50 * k, 1);
        for (int i : {0, 1}) {
            set_threads(i + 1);
            results[i].assign(static_cast<size_t>(50 * n), NAN);
            indices.multiply(50, a.data(), k, results[i].data(), n);
        }
        CHECK(same_bits(results[0], results[1]));
    }
    set_threads(before);
}
