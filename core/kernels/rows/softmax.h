#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

namespace lathe::kernels {

// p = softmax(factor x) over n elements, shifted by the largest so that nothing overflows; p may be x. Returns
// log(sum of exp(factor x)), so that log p[j] = factor x[j] - what is returned.
template <class T>
T softmax_row(int64_t n, T factor, const T* x, T* p) {
    T largest = factor * x[0];
    for (int64_t j = 1; j < n; ++j) largest = std::max(largest, factor * x[j]);
    T total = 0;
    for (int64_t j = 0; j < n; ++j) total += p[j] = std::exp(factor * x[j] - largest);
    const T inverse = 1 / total;
    for (int64_t j = 0; j < n; ++j) p[j] *= inverse;
    return largest + std::log(total);
}

}  // namespace lathe::kernels
