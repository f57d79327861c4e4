#pragma once
#include <cstdint>

namespace lathe::kernels {

// Over matrices [rows, width] of float or double: each row is normalised on its own. Rows are split over the threads;
// the same bits for any number of them.

// y = (x - mean) inv_std weight + bias; mean and inv_std [rows] are results, too.
template <class T>
void layer_norm_forward(int64_t rows, int64_t width, const T* x, const T* weight, const T* bias, double eps, T* y,
                        T* mean, T* inv_std);

// dx, dweight and dbias [width] in one pass; dx may be dy.
template <class T>
void layer_norm_backward(int64_t rows, int64_t width, const T* x, const T* dy, const T* weight, const T* mean,
                         const T* inv_std, T* dx, T* dweight, T* dbias);

}  // namespace lathe::kernels
