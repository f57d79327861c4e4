#pragma once
#include "lathe/core/kernels/gemm/gemm.h"

namespace lathe::kernels {

// gemm() by the panel kernel (gemm/panel.h), at least one row and column.
void panel_product(Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
                   const float* b, int64_t ldb, float* c, int64_t ldc, const Epilogue& epilogue);

}  // namespace lathe::kernels
