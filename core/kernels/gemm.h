#pragma once
#include <cstdint>

#include "lathe/core/kernels/epilogue.h"

namespace lathe::kernels {

enum class Trans : bool { no, yes };

// C = op(A) op(B), or C += op(A) op(B) when accumulate.   op(A) [m, k], op(B) [k, n], C [m, n], all row-major;
// The epilogue (bias [n]) comes last. lda, ldb, ldc are the row lengths of the arrays as stored. Splits its work over the threads, same bits for any number.
void gemm(Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b,
          int64_t ldb, float* c, int64_t ldc, bool accumulate = false, const Epilogue& epilogue = {});
void gemm(Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const double* a, int64_t lda, const double* b,
          int64_t ldb, double* c, int64_t ldc, bool accumulate = false);

}  // namespace lathe::kernels
