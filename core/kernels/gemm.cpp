#include "lathe/core/kernels/gemm.h"

#include <cblas.h>

#include "lathe/core/kernels/gemm_portable.h"

namespace lathe::kernels {

void gemm(Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b,
          int64_t ldb, float* c, int64_t ldc, bool accumulate) {
    if (m == 0 || n == 0) return;
    const auto blas = [](Trans t) { return t == Trans::yes ? CblasTrans : CblasNoTrans; };
    const int64_t grain = m * n * k < 65536 ? m : (m + 15) / 16;
    parallel_for(m, grain, [&](int64_t begin, int64_t end) {
        cblas_sgemm(CblasRowMajor, blas(a_trans), blas(b_trans), int(end - begin), int(n), int(k), 1.0f,
                    a + begin * (a_trans == Trans::no ? lda : 1), int(lda), b, int(ldb), accumulate ? 1.0f : 0.0f,
                    c + begin * ldc, int(ldc));
    });
}

void gemm(Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const double* a, int64_t lda, const double* b,
          int64_t ldb, double* c, int64_t ldc, bool accumulate) {
    portable::gemm(a_trans, b_trans, m, n, k, a, lda, b, ldb, c, ldc, accumulate);
}

}  // namespace lathe::kernels
