#include <doctest/doctest.h>

#include <algorithm>
#include <cfloat>

#include "lathe/core/kernels/gemm/panel_product.h"
#include "lathe/core/kernels/gemm/portable.h"
#include "lathe/tests/core/kernels/random_values.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

struct Case {
    int64_t m, n, k;
};

constexpr Case kCases[] = {{1, 1, 1},    {1, 8, 8},     {8, 1, 8},      {3, 5, 7},     {17, 33, 65},   {64, 10, 512},
                           {10, 512, 64}, {128, 84, 120}, {65, 257, 300}, {200, 31, 1000}, {129, 130, 131}, {5, 7, 0},
                           {30, 41, 3000}, {1800, 9, 33},
                           {1, 24, 5},   {45, 24, 40},  {16, 24, 600},  {37, 56, 130}};

// Rounding of a k-term sum: at most about eps * sum |a||b|, in practice far less (Higham 2002, section 3.1).
void compare(const Case& size, Trans a_trans, Trans b_trans, bool accumulate) {
    const auto [m, n, k] = size;
    const int64_t lda = (a_trans == Trans::no ? k : m) + 3, ldb = (b_trans == Trans::no ? n : k) + 1, ldc = n + 2;
    const int64_t a_size = lda * (a_trans == Trans::no ? m : k), b_size = ldb * (b_trans == Trans::no ? k : n);
    const auto a = random_values<double>(a_size, 1), b = random_values<double>(b_size, 2);
    const auto a32 = random_values<float>(a_size, 1), b32 = random_values<float>(b_size, 2);
    auto c = random_values<double>(m * ldc, 3);
    auto c32 = random_values<float>(m * ldc, 3), by_panels = c32;
    auto bound = magnitudes(c);
    gemm(a_trans, b_trans, m, n, k, a32.data(), lda, b32.data(), ldb, c32.data(), ldc,
         Epilogue{.accumulate = accumulate});
    panel_product(a_trans, b_trans, m, n, k, a32.data(), lda, b32.data(), ldb, by_panels.data(), ldc,
                  Epilogue{.accumulate = accumulate});
    gemm(a_trans, b_trans, m, n, k, a.data(), lda, b.data(), ldb, c.data(), ldc, accumulate);
    gemm(a_trans, b_trans, m, n, k, magnitudes(a).data(), lda, magnitudes(b).data(), ldb, bound.data(), ldc,
         accumulate);
    INFO(size.m, " ", size.n, " ", size.k, " ", int(a_trans), int(b_trans), int(accumulate));
    int64_t wrong = 0;
    for (int64_t i = 0; i < m * ldc; ++i)
        for (float found : {c32[i], by_panels[i]})
            wrong += !(std::abs(found - c[i]) <= (i % ldc < n ? 4 * FLT_EPSILON * bound[i] : 0.0));
    CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("gemm agrees with the float64 reference for every transposition") {
    for_each_isa([] {
        for (const Case& size : kCases)
            for (Trans a_trans : {Trans::no, Trans::yes})
                for (Trans b_trans : {Trans::no, Trans::yes})
                    for (bool accumulate : {false, true}) compare(size, a_trans, b_trans, accumulate);
    });
}

TEST_CASE("gemm adds a bias and clamps") {
    for_each_isa([] {
        for (const Case& size : kCases) {
            const auto [m, n, k] = size;
            const auto a = random_values<float>(m * k, 1), b = random_values<float>(n * k, 2),
                       bias = random_values<float>(n, 4);
            auto c = random_values<float>(m * n, 3), plain = c;
            gemm(Trans::no, Trans::yes, m, n, k, a.data(), k, b.data(), k, plain.data(), n,
                 Epilogue{.accumulate = true});
            gemm(Trans::no, Trans::yes, m, n, k, a.data(), k, b.data(), k, c.data(), n,
                 {bias.data(), 0.0f, 6.0f, true});
            auto prepared = random_values<float>(m * n, 3);
            PreparedMatrix(Trans::yes, k, n, b.data(), k)
                .multiply(m, a.data(), k, prepared.data(), n, {bias.data(), 0.0f, 6.0f, true});
            int64_t wrong = 0;
            for (int64_t i = 0; i < m * n; ++i) {
                const float want = std::clamp(plain[i] + bias[i % n], 0.0f, 6.0f);
                const float tolerance = 1e-6f * static_cast<float>(8 + k);
                wrong += !(std::abs(c[i] - want) <= tolerance) + !(std::abs(prepared[i] - want) <= tolerance);
            }
            CHECK(wrong == 0);
        }
    });
}

TEST_CASE("products without rows, columns or terms: nothing, or what an empty sum leaves") {
    for_each_isa([] {
        for (const Case& size : {Case{0, 5, 7}, Case{5, 0, 7}, Case{5, 7, 0}, Case{0, 0, 0}, Case{300, 24, 0}}) {
            const auto [m, n, k] = size;
            INFO(size.m, " ", size.n, " ", size.k);
            const auto a = random_values<float>(m * k + 1, 1), b = random_values<float>(k * n + 1, 2);
            const auto bias = random_values<float>(n, 4), before = random_values<float>(m * n, 3);
            std::vector<double> c64(before.size(), NAN);
            gemm(Trans::no, Trans::no, m, n, k, static_cast<double*>(nullptr), k, nullptr, n, c64.data(), n);
            CHECK(c64 == std::vector<double>(c64.size(), 0.0));
            for (Trans a_trans : {Trans::no, Trans::yes})
                for (Trans b_trans : {Trans::no, Trans::yes}) {
                    const int64_t lda = a_trans == Trans::no ? k : m, ldb = b_trans == Trans::no ? n : k;
                    auto c = before, sum = before, prepared = before;
                    gemm(a_trans, b_trans, m, n, k, a.data(), lda, b.data(), ldb, c.data(), n);
                    CHECK(c == std::vector<float>(c.size(), 0.0f));
                    gemm(a_trans, b_trans, m, n, k, a.data(), lda, b.data(), ldb, sum.data(), n,
                         {bias.data(), 0, 6, true});
                    PreparedMatrix(b_trans, k, n, b.data(), ldb)
                        .multiply(m, a.data(), k, prepared.data(), n, {bias.data(), 0, 6, true});
                    for (int64_t i = 0; i < m * n; ++i) c[i] = std::clamp(bias[i % n] + before[i], 0.0f, 6.0f);
                    CHECK(sum == c);
                    CHECK(prepared == c);
                }
        }
    });
}

TEST_CASE("gemm gives the same bits for one and two threads") {
    const int before = threads();
    for (const Case& size : kCases) {
        const auto [m, n, k] = size;
        const auto a = random_values<float>(m * k, 1), b = random_values<float>(k * n, 2);
        std::vector<float> one(m * n), two(m * n);
        set_threads(1);
        gemm(Trans::no, Trans::no, m, n, k, a.data(), k, b.data(), n, one.data(), n);
        set_threads(2);
        gemm(Trans::no, Trans::no, m, n, k, a.data(), k, b.data(), n, two.data(), n);
        CHECK(one == two);
    }
    set_threads(before);
}
