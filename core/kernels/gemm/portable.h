#pragma once
#include <algorithm>

#include "lathe/core/kernels/gemm/gemm.h"
#include "lathe/core/parallel.h"

// The definition of gemm() in plain loops: what float64 runs and what the fast kernels are tested against.
namespace lathe::kernels::portable {

template <class T>
void gemm(Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
          int64_t ldb, T* c, int64_t ldc, bool accumulate) {
    const int64_t a_row = a_trans == Trans::no ? lda : 1, a_col = a_trans == Trans::no ? 1 : lda;
    const int64_t b_row = b_trans == Trans::no ? ldb : 1, b_col = b_trans == Trans::no ? 1 : ldb;
    const int64_t grain = 1 + 65536 / std::max<int64_t>(1, n * k);
    parallel_for(m, grain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            T* row = c + i * ldc;
            if (!accumulate) std::fill(row, row + n, T(0));
            for (int64_t l = 0; l < k; ++l)
                for (int64_t j = 0; j < n; ++j) row[j] += a[i * a_row + l * a_col] * b[l * b_row + j * b_col];
        }
    });
}

// The definition of PanelTable::look_up().
inline void look_up(const IndexedPanel& panel, int64_t first, int64_t count, float* to) {
    for (int64_t l = first; l < first + count; ++l)
        for (int j = 0; j < panel.columns; ++j) {
            uint32_t index = 0;
            for (int64_t k = 0; k < panel.bits; ++k) {
                const int64_t bit = l * panel.bits + k;
                index |= (panel.words[bit / 32 * panel.columns + j] >> bit % 32 & 1) << k;
            }
            *to++ = panel.codebook[index] * panel.scale[j];
        }
}

}  // namespace lathe::kernels::portable
