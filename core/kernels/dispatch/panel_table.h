#pragma once
#include <cstdint>

namespace lathe::kernels {

constexpr int kMaxPanelVectors = 4;

// A panel of matrix product: C [m, n] = A [m, k] B [k, n] for n of at most PanelTable::columns, held as n / lanes
// vectors. The k products come in `runs` stretches of `length` each, so that A may be pieces of an image under a kernel
// window.
//   A(i, run, l) = a[i * a_row + a_run[run] + l * a_step]      one of a_row and a_step must be 1
//   B(run, l, vector j) = b[j][run * b_run + l * b_step ...]   whole vectors are read, also where C is narrower
//   C(i, vector j) = c[j][i * c_row ... + width[j]]
struct Panel {
    int64_t runs, length;
    const float* a;
    int64_t a_row, a_step;
    const int64_t* a_run;
    const float* b[kMaxPanelVectors];
    int64_t b_step, b_run;
    float* c[kMaxPanelVectors];
    int64_t c_row;
    int vectors, width[kMaxPanelVectors];
    const float* bias;  // one value a column added to every row, whole vectors are read; may be null
    bool accumulate;    // C += instead of C =
    bool stream;        // C is written past the caches: whole vectors, aligned
    const float* ahead;  // what will be read soon, fetched into the cache while this multiplies: `ahead_step` floats
    int64_t ahead_step;  // with every product of every tile; may be null
    float low, high;    // C is clamped to this range at the end
};

// A panel of B [k, columns] whose values share a codebook: B(l, j) = scale[j] * codebook[index(l, j)]. The indices of a
// column are one stream of bits in 32-bit words, index l the `bits` bits from bit l * bits on.
struct IndexedPanel {
    int bits;               // 1 to 8
    int columns;
    const uint32_t* words;  // [words of a column, columns]
    const float* codebook;  // [256]: the 2^bits entries again and again, so that bits above an index do not matter
    const float* scale;     // [columns]
};

struct PanelTable {
    int lanes;    // floats in a vector
    int columns;  // the widest panel
    int rows;     // the tallest tile of such a panel
    void (*multiply)(int64_t m, const Panel& panel);

    // Copies B [k, n] (`step` apart in k, `column_step` in n, one of them 1) to panels of `columns` columns, [k,
    // columns] each, `panel_size` floats apart; columns beyond n read as zero.
    void (*pack)(int64_t k, int64_t n, const float* b, int64_t step, int64_t column_step, float* panels,
                 int64_t panel_size);

    // The values of rows [first, first + count) of a panel of indices, [count, columns].
    void (*look_up)(const IndexedPanel& panel, int64_t first, int64_t count, float* to);
};

}  // namespace lathe::kernels
