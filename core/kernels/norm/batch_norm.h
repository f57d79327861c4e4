#pragma once
#include "lathe/core/kernels/dispatch/batch_norm_table.h"

namespace lathe::kernels {

// Over matrices [n, channels] of float or double: n is the number of pixels of the whole batch. Each function reads and
// writes every element once, splits the rows over the threads and gives the same bits for any number of them.

// Mean and biased variance of each channel. Robust for |mean| >> deviation: sums run over x minus the first row, in
// short float32 chunks that are added up in float64. Both are 0 where n is.
template <class T>
void channel_moments(int64_t n, int64_t channels, const T* x, double* mean, double* variance);

// y = activation((x - mean) scale + bias); y may be x.
template <class T>
void batch_norm_forward(int64_t n, int64_t channels, const T* x, const ChannelAffine<T>& affine, T* y);

// sum = sum of dz,  product = sum of dz (x - mean).
template <class T>
void batch_norm_sums(int64_t n, int64_t channels, const T* x, const T* dy, const ChannelAffine<T>& affine, double* sum,
                     double* product);

// dx = scale dz + slope (x - mean) + constant; dx may be dy.
template <class T>
void batch_norm_backward(int64_t n, int64_t channels, const T* x, const T* dy, const ChannelAffine<T>& affine,
                         const ChannelGradient<T>& gradient, T* dx);

}  // namespace lathe::kernels
