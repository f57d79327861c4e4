#pragma once
#include <algorithm>
#include <cstdint>

#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels {

// Loops over the rows of a matrix [n, width] whose rows are pixels or examples. Tasks are cut by shape alone.

inline int64_t row_grain(int64_t width) { return std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(width, 1)); }

// y[i] += row for every row i.
template <class T>
void add_row(int64_t n, int64_t width, const T* row, T* y) {
    parallel_for(n, row_grain(width), [=](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            for (int64_t j = 0; j < width; ++j) y[i * width + j] += row[j];
    });
}

}  // namespace lathe::kernels
