#include "lathe/core/kernels/gemm/blas.h"

#include <doctest/doctest.h>

#include "lathe/core/error.h"
#include "lathe/core/kernels/gemm/portable.h"
#include "lathe/tests/core/kernels/random_values.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

template <class T>
std::string complaint(const blas::Product<T>& product) {
    try {
        blas::check_products<T>(product);
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

// A product with one wrong element where `wrong` says so.
template <class T>
blas::Product<T> spoiled(bool (*wrong)(int64_t m, int64_t n, int64_t k)) {
    return [=](Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
               int64_t ldb, T* c, int64_t ldc, bool accumulate) {
        blas::product(a_trans, b_trans, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
        if (wrong(m, n, k)) c[(m - 1) * ldc + n - 1] += T(0.01);
    };
}

}  // namespace

TEST_CASE_TEMPLATE("blas: a library that multiplies wrongly is found, also in matrix-vector products", T, float,
                   double) {
    CHECK(complaint<T>(spoiled<T>([](int64_t, int64_t, int64_t) { return false; })).empty());
    for (auto wrong :
         {+[](int64_t m, int64_t, int64_t) { return m == 1; }, +[](int64_t, int64_t n, int64_t) { return n == 1; },
          +[](int64_t m, int64_t n, int64_t) { return m > 100 && n > 60; }}) {
        const std::string text = complaint<T>(spoiled<T>(wrong));
        CAPTURE(text);
        CHECK(text.starts_with("OpenBLAS "));
        CHECK(text.find("wrong on this processor: a product [") != std::string::npos);
        CHECK(text.find("OPENBLAS_CORETYPE") != std::string::npos);
    }
    CHECK(!complaint<T>([](Trans, Trans, int64_t, int64_t, int64_t, const T*, int64_t, const T*, int64_t, T*, int64_t,
                           bool) {
           }).empty());
}

TEST_CASE_TEMPLATE("blas: rows, columns and single numbers, stored either way, added or not", T, float, double) {
    for (int64_t m : {1, 2, 17})
        for (int64_t n : {1, 3, 33})
            for (int64_t k : {0, 1, 40})
                for (int form = 0; form < 8; ++form) {
                    const Trans a_trans = form & 1 ? Trans::yes : Trans::no,
                                b_trans = form & 2 ? Trans::yes : Trans::no;
                    const int64_t lda = (form & 1 ? m : k) + 2, ldb = (form & 2 ? k : n) + 3, ldc = n + 1;
                    const auto a = random_values<T>(lda * (form & 1 ? k : m) + lda, 1);
                    const auto b = random_values<T>(ldb * (form & 2 ? n : k) + ldb, 2);
                    auto found = random_values<T>(m * ldc, 3), expected = found;
                    blas::product(a_trans, b_trans, m, n, k, a.data(), lda, b.data(), ldb, found.data(), ldc, form & 4);
                    portable::gemm(a_trans, b_trans, m, n, k, a.data(), lda, b.data(), ldb, expected.data(), ldc,
                                   form & 4);
                    INFO(m, " ", n, " ", k, " ", form);
                    for (int64_t i = 0; i < m * ldc; ++i) {
                        if (i % ldc < n) CHECK(found[i] == doctest::Approx(double(expected[i])).epsilon(1e-5));
                        else CHECK(found[i] == expected[i]);
                    }
                }
    CHECK(blas::description().starts_with("OpenBLAS 0."));
}
