#include "lathe/core/kernels/gemm/gemm.h"

#include <climits>
#include <cmath>

#include "lathe/core/divmod.h"
#include "lathe/core/kernels/gemm/blas.h"
#include "lathe/core/kernels/gemm/panel_product.h"
#include "lathe/core/kernels/gemm/tasks.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels {

namespace {

constexpr int64_t kRows = 112, kColumns = 64;  // of C, at least, in a task: OpenBLAS packs both operands each time
constexpr int64_t kBlockDepth = 512;           // likewise, of products in a sum

// A product of row-major matrices, spread over tasks whose bounds follow from the extents alone.
template <class T>
struct BlasProduct {
    Trans a_trans, b_trans;
    int64_t m, n, k;
    const T* a;
    int64_t lda;
    const T* b;
    int64_t ldb;

    // C [rows, columns] from `row` and `column` on (+)= the products from `first` on.
    void block(int64_t row, int64_t rows, int64_t column, int64_t columns, int64_t first, int64_t depth, T* c,
               int64_t ldc, bool accumulate) const {
        const T* from_a = a_trans == Trans::no ? a + row * lda + first : a + first * lda + row;
        const T* from_b = b_trans == Trans::no ? b + first * ldb + column : b + column * ldb + first;
        blas::product(a_trans, b_trans, rows, columns, depth, from_a, lda, from_b, ldb, c, ldc, accumulate);
    }

    void run(T* c, int64_t ldc, bool accumulate) const {
        const int64_t stretches = std::min(kTasks, k / kBlockDepth);
        if (m * n * k < kSerialMacs) block(0, m, 0, n, 0, k, c, ldc, accumulate);
        else if (stretches > 1 && m <= kRows * kTasks / 2 && k >= 4 * std::min(m, n))
            by_depth(stretches, c, ldc, accumulate);
        else by_blocks(c, ldc, accumulate);
    }

    // Blocks of C, about square: each packs rows of A and columns of B for itself.
    void by_blocks(T* c, int64_t ldc, bool accumulate) const {
        const double square = std::sqrt(static_cast<double>(kTasks) * static_cast<double>(m) / static_cast<double>(n));
        const int64_t wanted = std::clamp<int64_t>(std::llround(square), 1, kTasks);
        const int64_t rows = std::max(kRows, ceil_div(m, wanted)), row_blocks = ceil_div(m, rows);
        const int64_t wide = ceil_div(ceil_div(n, kTasks / row_blocks), kColumns) * kColumns;
        const int64_t columns = std::max(kColumns, wide), column_blocks = ceil_div(n, columns);
        parallel_tasks(row_blocks * column_blocks, [&](int64_t task) {
            const auto [row_block, column_block] = divmod(task, column_blocks);
            const int64_t row = row_block * rows, column = column_block * columns;
            block(row, std::min(rows, m - row), column, std::min(columns, n - column), 0, k, c + row * ldc + column,
                  ldc, accumulate);
        });
    }

    // A long k: tasks take stretches of it, each into its own C; those are added in order.
    void by_depth(int64_t stretches, T* c, int64_t ldc, bool accumulate) const {
        Workspace<T> sums(static_cast<size_t>(stretches * m * n));
        parallel_tasks(stretches, [&](int64_t task) {
            const int64_t first = k * task / stretches, last = k * (task + 1) / stretches;
            block(0, m, 0, n, first, last - first, sums.data() + task * m * n, n, false);
        });
        parallel_for(m, ceil_div(1 << 14, n * stretches), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
                for (int64_t j = 0; j < n; ++j) {
                    T total = accumulate ? c[i * ldc + j] : T(0);
                    for (int64_t task = 0; task < stretches; ++task)
                        total += sums[static_cast<size_t>((task * m + i) * n + j)];
                    c[i * ldc + j] = total;
                }
        });
    }
};

// Where the panel kernel, which packs B once for all rows and ends with bias and clamp in registers, beats OpenBLAS:
// with many rows and a B that stays in the near cache. GFLOP/s of one core of a Zen 4 by OpenBLAS 0.3.21 (kernels for
// Cooper Lake) in tasks as above, and by panels; the better one runs, but for a few percent:
//
//     m x n x k            trans   BLAS  panels           m x n x k            trans   BLAS  panels
//     1 x 512 x 512        n t       43       8           8192 x 64 x 384      n t       77     105
//     64 x 10 x 64         n t       75      55           131072 x 16 x 96     n n       54      64
//     64 x 512 x 4608      n t       83      67           2048 x 160 x 960     n n       95     108
//     131072 x 96 x 16     n t       56      27           64 x 128 x 784       n t       93     103
//     160 x 960 x 2048     t n       91      85           1024 x 96 x 16       n t       67      92
//     2048 x 2048 x 2048   n t       98      61           64 x 120 x 256       n t       90      98
bool panels_are_faster(Trans a_trans, int64_t m, int64_t n, int64_t k, const Epilogue& epilogue) {
    const bool plain = !epilogue.bias && epilogue.low == -INFINITY && epilogue.high == INFINITY;
    if (!plain || std::max({m, n, k}) > INT_MAX) return true;
    return a_trans == Trans::no && m >= 64 && n >= 16 && n <= 192 && n * k <= 1 << 18 &&
           (k >= 64 || m * n <= 1 << 18);
}

}  // namespace

void gemm(Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b,
          int64_t ldb, float* c, int64_t ldc, const Epilogue& epilogue) {
    if (m == 0 || n == 0) return;
    if (panels_are_faster(a_trans, m, n, k, epilogue))
        panel_product(a_trans, b_trans, m, n, k, a, lda, b, ldb, c, ldc, epilogue);
    else
        BlasProduct<float>{a_trans, b_trans, m, n, k, a, lda, b, ldb}.run(c, ldc, epilogue.accumulate);
}

void gemm(Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const double* a, int64_t lda, const double* b,
          int64_t ldb, double* c, int64_t ldc, bool accumulate) {
    if (m == 0 || n == 0) return;
    BlasProduct<double>{a_trans, b_trans, m, n, k, a, lda, b, ldb}.run(c, ldc, accumulate);
}

}  // namespace lathe::kernels
