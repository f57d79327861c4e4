#include "lathe/core/kernels/gemm/panel_product.h"

#include "lathe/core/ceil_div.h"
#include "lathe/core/divmod.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/dispatch/streaming.h"
#include "lathe/core/kernels/gemm/gemm.h"
#include "lathe/core/kernels/gemm/panel.h"
#include "lathe/core/kernels/gemm/panels.h"
#include "lathe/core/kernels/gemm/tasks.h"
#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels {
namespace {

constexpr int64_t kDepth = 512;  // products summed in registers before C is written: A and B stay in the caches
constexpr int64_t kRowsPerTask = 112;  // 8 tiles of 14, 19 of 6

struct Matrix {
    const float* data;
    int64_t row, column;  // distance between neighbours; one of them is 1
};

Matrix stored(Trans trans, const float* data, int64_t ld) {
    return trans == Trans::no ? Matrix{data, ld, 1} : Matrix{data, 1, ld};
}

// Floats of B [k, n] in panels; the kernel may read a vector beyond the last.
size_t packed_floats(const PanelTable& kernels, int64_t k, int64_t n) {
    return static_cast<size_t>(ceil_div(n, kernels.columns) * std::max<int64_t>(k, 1) * kernels.columns +
                               kernels.columns);
}

void pack_panels(const PanelTable& kernels, int64_t k, int64_t n, const Matrix& b, int64_t first, float* packed) {
    const int64_t panel_size = std::max<int64_t>(k, 1) * kernels.columns;
    parallel_for(ceil_div(n, kernels.columns) - first, ceil_div(1 << 15, panel_size), [&](int64_t begin, int64_t end) {
        const int64_t column = (first + begin) * kernels.columns;
        kernels.pack(k, std::min(n, (first + end) * kernels.columns) - column, b.data + column * b.column, b.row,
                     b.column, packed + begin * panel_size, panel_size);
    });
}

// `once`: C is written once, when all products are summed.
bool may_stream(int64_t m, int64_t n, bool once, const float* c, int64_t ldc, const Epilogue& epilogue) {
    return once && !epilogue.accumulate && ldc % 16 == 0 && n % 16 == 0 && streams(c, ldc, m * n);
}

struct Product {
    const PanelTable& kernels;
    int64_t m, n, k;
    Matrix a, b;
    bool stream;
    Epilogue epilogue;  // bias padded

    // C [rows, width] (+)= A [rows, depth] times the panel of B at `columns`. What comes next is fetched meanwhile:
    // rows of A (memory, not multiplication, limits products with a short k), or for few rows, which use a panel of B
    // little, the next one.
    void panel(const Matrix& a, int64_t rows, int64_t depth, const float* columns, int64_t b_step, float* c,
               int64_t ldc, int64_t width, bool accumulate, bool streamed, const Epilogue& end, const float* ahead,
               int64_t ahead_step) const {
        Panel p = empty_panel();
        p.length = depth;
        p.a = a.data;
        p.a_row = a.row;
        p.a_step = a.column;
        p.b_step = b_step;
        p.c_row = ldc;
        p.accumulate = accumulate;
        p.stream = streamed;
        p.bias = end.bias;
        p.low = end.low;
        p.high = end.high;
        p.ahead = ahead;
        p.ahead_step = ahead_step;
        add_columns(p, columns, c, width, kernels.lanes);
        kernels.multiply(rows, p);
    }

    // B is packed, then tasks take blocks of rows. Packing pays when every value is used by several tiles; a narrow
    // last panel must be padded anyway.
    void pack_and_multiply(float* c, int64_t ldc) const {
        const int64_t first_packed = b.column == 1 && m <= 32 ? n / kernels.columns : 0;
        Workspace<float> packed(packed_floats(kernels, k, n - first_packed * kernels.columns));
        pack_panels(kernels, k, n, b, first_packed, packed.data());
        by_rows({packed.data(), std::max<int64_t>(k, 1) * kernels.columns}, first_packed, c, ldc);
    }

    // Many rows: tasks take blocks of rows and, when those are few, of panels. The panels of B before `first_packed`
    // are read in their own place.
    void by_rows(const Panels& weights, int64_t first_packed, float* c, int64_t ldc) const {
        const int64_t panels = ceil_div(n, kernels.columns), panel_size = std::max<int64_t>(k, 1) * kernels.columns;
        const int64_t most_rows = weights.most_rows(kDepth), stretches = std::max<int64_t>(1, ceil_div(k, most_rows));
        const bool serial = m * n * k < kSerialMacs, in_order = !weights.values && m <= kernels.rows;
        const int64_t rows = serial ? m : kRowsPerTask, row_blocks = ceil_div(m, rows);
        const int64_t task_panels = serial ? panels
                                           : std::max<int64_t>(ceil_div(panels * row_blocks, kTasks) / row_blocks,
                                                               ceil_div(kSerialMacs, rows * panel_size));
        const int64_t panel_blocks = ceil_div(panels, task_panels);
        parallel_tasks(row_blocks * panel_blocks, [&](int64_t task) {
            const auto [row_block, panel_block] = divmod(task, panel_blocks);
            const int64_t row = row_block * rows, begin = panel_block * task_panels;
            const int64_t last = std::min(panels, begin + task_panels);
            Workspace<float> buffer(weights.buffer_floats(kernels.columns));
            for (int64_t step = 0; step < stretches * (last - begin); ++step) {
                // All panels for a stretch of k, so that A stays near; or a panel's whole k, so that indices, which
                // come from further away than the few rows of A, are read in their order.
                const auto [outer, inner] = divmod(step, in_order ? stretches : last - begin);
                const int64_t first = most_rows * (in_order ? inner : outer), depth = std::min(most_rows, k - first);
                const int64_t i = begin + (in_order ? outer : inner);
                const bool direct = i < first_packed;
                const float* columns = direct ? b.data + first * b.row + i * kernels.columns
                                              : weights.rows(kernels, i - first_packed, first, depth, buffer.data());
                const Matrix from = {a.data + row * a.row + first * a.column, a.row, a.column};
                Epilogue end;
                if (first == 0 && epilogue.bias) end.bias = epilogue.bias + i * kernels.columns;
                if (first + depth >= k) end.low = epilogue.low, end.high = epilogue.high;
                const int64_t height = std::min(rows, m - row), tiles = ceil_div(height, kernels.rows);
                const float* ahead = nullptr;
                int64_t ahead_step = kernels.rows;
                if (tiles > 2 && i == begin && a.row == k && k <= kDepth) ahead = from.data + kernels.rows * k;
                else if (tiles <= 8 && !direct && weights.values) {
                    const bool deeper = i + 1 == last;  // goes on with the first panel's next stretch
                    ahead = columns + (deeper ? (begin - i) * panel_size + kDepth * kernels.columns : panel_size);
                    ahead_step = ceil_div(kernels.columns, tiles);
                }
                panel(from, height, depth, columns, direct ? b.row : kernels.columns,
                      c + row * ldc + i * kernels.columns, ldc,
                      std::min<int64_t>(kernels.columns, n - i * kernels.columns), epilogue.accumulate || first > 0,
                      stream, end, ahead, ahead_step);
            }
        });
    }

    // A long k: tasks take stretches of it, each into its own C; those are added in order. Both A and B are copied, a
    // block of k that fits the caches at a time; in their own places neighbours in k may be too far apart for
    // prefetchers and cache sets.
    void by_depth(int64_t tasks, float* c, int64_t ldc) const {
        constexpr int64_t kStep = 128;
        const int64_t panels = ceil_div(n, kernels.columns), columns = panels * kernels.columns;
        const int64_t a_step = ceil_div(m, 32) * 32 + 16;
        const bool copied = a.row == 1;
        Workspace<float> sums(static_cast<size_t>(tasks * m * columns));
        parallel_tasks(tasks, [&](int64_t task) {
            Workspace<float> packed(static_cast<size_t>(kStep * columns)),
                copy(static_cast<size_t>(copied ? kStep * a_step : 0));
            const int64_t begin = k * task / tasks, end = k * (task + 1) / tasks;
            for (int64_t first = begin; first < end; first += kStep) {
                const int64_t depth = std::min(kStep, end - first);
                kernels.pack(depth, n, b.data + first * b.row, b.row, b.column, packed.data(), kStep * kernels.columns);
                Matrix from = {a.data + first * a.column, a.row, a.column};
                if (copied) {
                    for (int64_t l = 0; l < depth; ++l)
                        std::copy_n(from.data + l * a.column, m, copy.data() + l * a_step);
                    from = {copy.data(), 1, a_step};
                }
                for (int64_t i = 0; i < panels; ++i) {
                    const bool fetch = i == 0 && copied && a.column == m && first + kStep < end;
                    panel(from, m, depth, packed.data() + i * kStep * kernels.columns, kernels.columns,
                          sums.data() + task * m * columns + i * kernels.columns, columns, kernels.columns,
                          first > begin, false, {}, fetch ? a.data + (first + kStep) * m : nullptr, kernels.rows);
                }
            }
        });
        parallel_for(m, ceil_div(1 << 14, n * tasks), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
                for (int64_t j = 0; j < n; ++j) {
                    float total = epilogue.accumulate ? c[i * ldc + j] : 0;
                    if (epilogue.bias) total += epilogue.bias[j];
                    for (int64_t task = 0; task < tasks; ++task)
                        total += sums[static_cast<size_t>((task * m + i) * columns + j)];
                    c[i * ldc + j] = std::clamp(total, epilogue.low, epilogue.high);
                }
        });
    }
};

}  // namespace

void panel_product(Trans a_trans, Trans b_trans, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda,
                   const float* b, int64_t ldb, float* c, int64_t ldc, const Epilogue& epilogue) {
    const PanelTable& kernels = table().panel;
    PaddedBias bias(epilogue.bias, n, kernels.columns);
    Epilogue padded = epilogue;
    padded.bias = bias.data();
    const Product product{kernels,
                          m,
                          n,
                          k,
                          stored(a_trans, a, lda),
                          stored(b_trans, b, ldb),
                          may_stream(m, n, k <= kDepth, c, ldc, epilogue),
                          padded};
    const int64_t depth_tasks = std::min(kTasks, k / kDepth);
    // Splitting k costs depth_tasks passes over C, so k must be long beside what one task computes of it.
    if (depth_tasks > 1 && ceil_div(m, kRowsPerTask) < kTasks && k >= std::min(m, n) * 4)
        product.by_depth(depth_tasks, c, ldc);
    else
        product.pack_and_multiply(c, ldc);
}

PreparedMatrix::PreparedMatrix(Trans trans, int64_t k, int64_t n, const float* b, int64_t ldb)
    : k_(k), n_(n), weights_(1, k, n, b, stored(trans, b, ldb).row, stored(trans, b, ldb).column) {}

PreparedMatrix::PreparedMatrix(int64_t k, int64_t n, const IndexedWeight& weight)
    : k_(k), n_(n), weights_(1, k, n, weight) {}

void PreparedMatrix::multiply(int64_t m, const float* a, int64_t lda, float* c, int64_t ldc,
                              const Epilogue& epilogue) const {
    if (m == 0 || n_ == 0) return;
    const PanelTable& kernels = table().panel;
    PaddedBias bias(epilogue.bias, n_, kernels.columns);
    Epilogue padded = epilogue;
    padded.bias = bias.data();
    const Panels panels = weights_.panels();
    const bool once = k_ <= panels.most_rows(kDepth);
    Product{kernels, m, n_, k_, {a, lda, 1}, {}, may_stream(m, n_, once, c, ldc, epilogue), padded}
        .by_rows(panels, 0, c, ldc);
}

}  // namespace lathe::kernels
