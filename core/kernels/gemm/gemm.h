#pragma once
#include <cstdint>

#include "lathe/core/kernels/dispatch/epilogue.h"
#include "lathe/core/kernels/gemm/panels.h"

namespace lathe::kernels {

enum class Trans : bool { no, yes };

// C = epilogue(op(A) op(B)). op(A) [m, k], op(B) [k, n], C [m, n], all row-major; the epilogue's bias is [n]. lda, ldb,
// ldc are the row lengths of the arrays as stored. Splits its work over the threads, same bits for any number.
void gemm(Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b,
          int64_t ldb, float* c, int64_t ldc, const Epilogue& epilogue = {});
void gemm(Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const double* a, int64_t lda, const double* b,
          int64_t ldb, double* c, int64_t ldc, bool accumulate = false);

// op(B) [k, n] arranged for the kernel once, for many products C [m, n] = epilogue(A [m, k] op(B)).
class PreparedMatrix {
public:
    PreparedMatrix(Trans trans, int64_t k, int64_t n, const float* b, int64_t ldb);
    PreparedMatrix(int64_t k, int64_t n, const IndexedWeight& weight);  // [n, k] = op(B)^T
    void multiply(int64_t m, const float* a, int64_t lda, float* c, int64_t ldc, const Epilogue& epilogue = {}) const;
    int64_t bytes() const { return weights_.bytes(); }
    std::string name(const std::string& algorithm) const { return weights_.name(algorithm); }

private:
    int64_t k_, n_;
    PanelWeights weights_;
};

}  // namespace lathe::kernels
