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

// sum[j] = x[0][j] + ... + x[n-1][j], one partial sum a task, added in task order.
template <class T>
void sum_rows(int64_t n, int64_t width, const T* x, T* sum) {
    const int64_t grain = row_grain(width), tasks = std::max<int64_t>(1, (n + grain - 1) / grain);
    Workspace<T> partial(static_cast<size_t>(tasks * width));
    parallel_tasks(tasks, [&](int64_t task) {
        T* total = partial.data() + task * width;
        std::fill_n(total, width, T(0));
        for (int64_t i = task * grain; i < std::min(n, (task + 1) * grain); ++i)
            for (int64_t j = 0; j < width; ++j) total[j] += x[i * width + j];
    });
    std::copy_n(partial.data(), width, sum);
    for (int64_t task = 1; task < tasks; ++task)
        for (int64_t j = 0; j < width; ++j) sum[j] += partial.data()[task * width + j];
}

}  // namespace lathe::kernels
