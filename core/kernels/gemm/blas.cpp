#include "lathe/core/kernels/gemm/blas.h"

#include <cblas.h>

#include <cfloat>
#include <cmath>
#include <mutex>
#include <vector>

#include "lathe/core/error.h"
#include "lathe/core/kernels/gemm/portable.h"
#include "lathe/core/parallel.h"

extern "C" {  // not in the headers of other BLAS libraries, one of which may be the <cblas.h> found
char* openblas_get_config(void);
char* openblas_get_corename(void);
int openblas_get_parallel(void);
void openblas_set_num_threads(int);
}

namespace lathe::kernels::blas {

namespace {

enum Build { serial, threads, openmp };  // as openblas_get_parallel numbers them

CBLAS_TRANSPOSE cblas(Trans trans) { return trans == Trans::no ? CblasNoTrans : CblasTrans; }

void gemm(CBLAS_TRANSPOSE a_trans, CBLAS_TRANSPOSE b_trans, int m, int n, int k, const float* a, int lda,
          const float* b, int ldb, float beta, float* c, int ldc) {
    cblas_sgemm(CblasRowMajor, a_trans, b_trans, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}
void gemm(CBLAS_TRANSPOSE a_trans, CBLAS_TRANSPOSE b_trans, int m, int n, int k, const double* a, int lda,
          const double* b, int ldb, double beta, double* c, int ldc) {
    cblas_dgemm(CblasRowMajor, a_trans, b_trans, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}
// y = op(M [rows, columns]) x
void gemv(CBLAS_TRANSPOSE trans, int rows, int columns, const float* matrix, int ld, const float* x, int x_step,
          float beta, float* y, int y_step) {
    cblas_sgemv(CblasRowMajor, trans, rows, columns, 1, matrix, ld, x, x_step, beta, y, y_step);
}
void gemv(CBLAS_TRANSPOSE trans, int rows, int columns, const double* matrix, int ld, const double* x, int x_step,
          double beta, double* y, int y_step) {
    cblas_dgemv(CblasRowMajor, trans, rows, columns, 1, matrix, ld, x, x_step, beta, y, y_step);
}

template <class T>
void multiply(Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
              int64_t ldb, T* c, int64_t ldc, bool accumulate) {
    const T beta = accumulate ? 1 : 0;
    const auto i = [](int64_t extent) { return static_cast<int>(extent); };
    if (k == 0) {
        if (!accumulate)
            for (int64_t row = 0; row < m; ++row) std::fill_n(c + row * ldc, n, T(0));
    } else if (m == 1) {  // y^T = x^T op(B), so y = op(B)^T x
        const bool rows_are_outputs = b_trans == Trans::yes;
        gemv(rows_are_outputs ? CblasNoTrans : CblasTrans, i(rows_are_outputs ? n : k), i(rows_are_outputs ? k : n), b,
             i(ldb), a, i(a_trans == Trans::no ? 1 : lda), beta, c, 1);
    } else if (n == 1) {
        const bool as_stored = a_trans == Trans::no;
        gemv(cblas(a_trans), i(as_stored ? m : k), i(as_stored ? k : m), a, i(lda), b,
             i(b_trans == Trans::no ? ldb : 1), beta, c, i(ldc));
    } else {
        gemm(cblas(a_trans), cblas(b_trans), i(m), i(n), i(k), a, i(lda), b, i(ldb), beta, c, i(ldc));
    }
}

std::mutex one_product;  // at a time: the serial build does not guard its buffers

// What every product is made in: the calling thread alone, and checked before.
template <class T>
class Scope {
public:
    Scope() : lock_(one_product, std::defer_lock) {
        static const int build = openblas_get_parallel();
        static std::once_flag checked;
        if (build == serial) lock_.lock();
        std::call_once(checked, [] {
            if (build == threads) openblas_set_num_threads(1);
            check_products<T>(multiply<T>);
        });
    }

private:
    const OnOneThread on_one_thread_;
    std::unique_lock<std::mutex> lock_;
};

}  // namespace

std::string description() {
    const std::string config = openblas_get_config();  // "OpenBLAS 0.3.21 NO_LAPACKE …"
    constexpr const char* kBuilds[] = {"serial build", "build with threads of its own", "OpenMP build"};
    return config.substr(0, config.find(' ', config.find(' ') + 1)) + ", kernels for " + openblas_get_corename() +
           ", " + kBuilds[openblas_get_parallel()];
}

template <class T>
void check_products(const Product<T>& product) {
    constexpr int64_t kSizes[][3] = {{1, 19, 67},  {37, 1, 129},   {5, 3, 4},
                                     {64, 64, 64}, {131, 67, 259}, {33, 200, 517}};
    std::vector<T> values(1 << 17), expected, found;
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(static_cast<int>(i * 37 % 101) - 50) / 64;
    for (const auto& [m, n, k] : kSizes)
        for (Trans a_trans : {Trans::no, Trans::yes})
            for (Trans b_trans : {Trans::no, Trans::yes}) {
                const int64_t lda = a_trans == Trans::no ? k : m, ldb = b_trans == Trans::no ? n : k;
                const T *a = values.data(), *b = values.data() + 7;
                expected.assign(static_cast<size_t>(m * n), 0), found.assign(static_cast<size_t>(m * n), NAN);
                portable::gemm(a_trans, b_trans, m, n, k, a, lda, b, ldb, expected.data(), n, false);
                product(a_trans, b_trans, m, n, k, a, lda, b, ldb, found.data(), n, false);
                const T limit = static_cast<T>(k) * std::numeric_limits<T>::epsilon();
                for (size_t i = 0; i < found.size(); ++i)
                    check(std::abs(found[i] - expected[i]) <= limit, description(),
                          ": wrong on this processor: a product [", m, ", ", k, "] [", k, ", ", n, "] has ", found[i],
                          " for ", expected[i], "; expected a newer OpenBLAS, or OPENBLAS_CORETYPE=Haswell in the "
                          "environment");
            }
}

template void check_products<float>(const Product<float>&);
template void check_products<double>(const Product<double>&);

void product(Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b,
             int64_t ldb, float* c, int64_t ldc, bool accumulate) {
    const Scope<float> scope;
    multiply(a_trans, b_trans, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
}
void product(Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const double* a, int64_t lda,
             const double* b, int64_t ldb, double* c, int64_t ldc, bool accumulate) {
    const Scope<double> scope;
    multiply(a_trans, b_trans, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
}

}  // namespace lathe::kernels::blas
