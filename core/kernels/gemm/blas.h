#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "lathe/core/kernels/gemm/gemm.h"

// OpenBLAS, on one thread: its results change with its threads, so the tasks of gemm() are what is spread. Its OpenMP
// build is told so call by call. That with threads of its own (libopenblas-pthread) knows one number for the whole
// process: it is set to 1 when the first product is made here. The serial build (libopenblas-serial) is not made for
// several threads: products take turns there, which is right but slow.
namespace lathe::kernels::blas {

// C = op(A) op(B), or C += with `accumulate`, on the calling thread; extents and row lengths below 2^31, none 0 but k.
// One row or one column is a matrix-vector product. Error: see check_products, before the first one.
void product(Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b,
             int64_t ldb, float* c, int64_t ldc, bool accumulate);
void product(Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const double* a, int64_t lda,
             const double* b, int64_t ldb, double* c, int64_t ldc, bool accumulate);

// "OpenBLAS 0.3.21, kernels for Cooperlake, OpenMP build"
std::string description();

// Builds of OpenBLAS that are older than the processor have been wrong. Compares products of some sizes with the
// portable ones. Error: one differs, and what to do.
template <class T>
using Product = std::function<void(Trans, Trans, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
                                   int64_t ldb, T* c, int64_t ldc, bool accumulate)>;
template <class T>
void check_products(const Product<T>& product);

}  // namespace lathe::kernels::blas
