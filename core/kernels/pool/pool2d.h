#pragma once
#include <cstdint>

namespace lathe::kernels {

// The geometry of a pooling: windows of kernel_h x kernel_w over x [N, H, W, C], one for each pixel of y [N, P, Q, C].
struct Pool2dShape {
    int64_t batch, in_h, in_w, channels;
    int64_t out_h, out_w;
    int64_t kernel_h, kernel_w;
    int64_t stride_h, stride_w;
    int64_t pad_top = 0, pad_left = 0;
    bool count_padding = true;  // average pooling divides by kernel_h * kernel_w, else by the pixels inside the image
};

// Every function overwrites its result (of float or double), splits its work over the threads and gives the same bits
// for any number of them.

// The largest value of each window and, unless `index` is null, its place r * kernel_w + s in the window: the first one
// among equals; a NaN wins. Index is uint8_t, or int32_t for windows of more than 256 pixels.
template <class T, class Index>
void max_pool2d_forward(const Pool2dShape& shape, const T* x, T* y, Index* index);
template <class T, class Index>
void max_pool2d_backward(const Pool2dShape& shape, const T* dy, const Index* index, T* dx);

template <class T>
void avg_pool2d_forward(const Pool2dShape& shape, const T* x, T* y);
template <class T>
void avg_pool2d_backward(const Pool2dShape& shape, const T* dy, T* dx);

// y [n, channels] = mean over the pixels of x [n, pixels, channels].
template <class T>
void mean_pixels_forward(int64_t n, int64_t pixels, int64_t channels, const T* x, T* y);
template <class T>
void mean_pixels_backward(int64_t n, int64_t pixels, int64_t channels, const T* dy, T* dx);

}  // namespace lathe::kernels
