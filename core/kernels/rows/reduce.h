#pragma once
#include <algorithm>
#include <cstdint>

#include "lathe/core/ceil_div.h"
#include "lathe/core/divmod.h"
#include "lathe/core/kernels/rows/rows.h"

namespace lathe::kernels {

// The sum of n contiguous elements, in 16 interleaved partial sums: exact order fixed, rounding error about n / 16
// units.
template <class T>
T sum_run(int64_t n, const T* x) {
    constexpr int kLanes = 16;
    T lane[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes)
        for (int k = 0; k < kLanes; ++k) lane[k] += x[i + k];
    for (int k = 0; i < n; ++i, ++k) lane[k] += x[i];
    for (int half = kLanes / 2; half > 0; half /= 2)
        for (int k = 0; k < half; ++k) lane[k] += lane[k + half];
    return lane[0];
}

// sum[i] = x[0][i] + ... + x[n-1][i] on the calling thread. Narrow rows would leave vectors half empty: as many as fill
// 64 elements are taken as one wide row, whose sums are added up in the end.
template <class T>
void sum_task_rows(int64_t n, int64_t width, const T* x, T* sum) {
    constexpr int64_t kWide = 64;
    std::fill_n(sum, width, T(0));
    int64_t row = 0;
    if (const int64_t together = kWide / std::max<int64_t>(width, 1); together > 1 && n >= 4 * together) {
        T wide[kWide] = {};
        for (; row + together <= n; row += together)
            for (int64_t i = 0; i < together * width; ++i) wide[i] += x[row * width + i];
        for (int64_t i = 0; i < together * width; ++i) sum[i % width] += wide[i];
    }
    for (; row < n; ++row)
        for (int64_t i = 0; i < width; ++i) sum[i] += x[row * width + i];
}

// sum[o][i] = x[o][0][i] + ... + x[o][n-1][i].   x [outer, n, inner], sum [outer, inner].
// Long sums are cut into tasks whose partial results are added in task order.
template <class T>
void sum_axis(int64_t outer, int64_t n, int64_t inner, const T* x, T* sum) {
    const int64_t grain = row_grain(inner), parts = std::max<int64_t>(1, ceil_div(n, grain));
    Workspace<T> partial(parts == 1 ? 0 : static_cast<size_t>(outer * parts * inner));
    T* const first = parts == 1 ? sum : partial.data();

    const auto sum_part = [&](int64_t task) {
        const auto [o, part] = divmod(task, parts);
        const int64_t begin = part * grain, end = std::min(n, begin + grain);
        const T* from = x + (o * n + begin) * inner;
        T* total = first + task * inner;
        sum_task_rows(end - begin, inner, from, total);
    };
    parallel_for(outer * parts, row_grain(std::min(n, grain) * inner), [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) sum_part(task);
    });

    if (parts == 1) return;
    for (int64_t o = 0; o < outer; ++o) {
        const T* part = first + o * parts * inner;
        T* total = sum + o * inner;
        std::copy_n(part, inner, total);
        for (int64_t k = 1; k < parts; ++k)
            for (int64_t i = 0; i < inner; ++i) total[i] += part[k * inner + i];
    }
}

// x[o][k][i] = factor * y[o][i] for every k.   y [outer, inner], x [outer, n, inner].
template <class T>
void repeat_axis(int64_t outer, int64_t n, int64_t inner, T factor, const T* y, T* x) {
    parallel_for(outer * n, row_grain(inner), [=](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row)
            for (int64_t i = 0; i < inner; ++i) x[row * inner + i] = factor * y[row / n * inner + i];
    });
}

}  // namespace lathe::kernels
