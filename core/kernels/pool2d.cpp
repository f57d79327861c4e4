#include "lathe/core/kernels/pool2d.h"

#include "lathe/core/kernels/pool2d_portable.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels {

namespace {

constexpr int64_t kTaskElements = 1 << 15;

int64_t grain(int64_t elements) { return std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, elements)); }

// row(p, image of x, offset of the result's row) for every row of the result of every image.
template <class Row>
void for_each_row(const Pool2dShape& g, Row&& row) {
    const int64_t image = g.in_h * g.in_w * g.channels, result = g.out_w * g.channels;
    parallel_for(g.batch * g.out_h, grain(result * g.kernel_h * g.kernel_w), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) row(i % g.out_h, i / g.out_h * image, i * result);
    });
}

// Windows may overlap, so a task zeroes and fills the gradients of whole images.
template <class T, class Row>
void for_each_row_backward(const Pool2dShape& g, T* dx, Row&& row) {
    const int64_t image = g.in_h * g.in_w * g.channels, result = g.out_w * g.channels;
    parallel_for(g.batch, grain(image), [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) {
            std::fill_n(dx + n * image, image, T(0));
            for (int64_t p = 0; p < g.out_h; ++p) row(p, n * image, (n * g.out_h + p) * result);
        }
    });
}

}  // namespace

template <class T, class Index>
void max_pool2d_forward(const Pool2dShape& g, const T* x, T* y, Index* index) {
    for_each_row(g, [&](int64_t p, int64_t image, int64_t row) {
        portable::max_pool_row(g, p, x + image, y + row, index ? index + row : nullptr);
    });
}

template <class T, class Index>
void max_pool2d_backward(const Pool2dShape& g, const T* dy, const Index* index, T* dx) {
    for_each_row_backward(g, dx, [&](int64_t p, int64_t image, int64_t row) {
        portable::max_pool_row_backward(g, p, dy + row, index + row, dx + image);
    });
}

template <class T>
void avg_pool2d_forward(const Pool2dShape& g, const T* x, T* y) {
    for_each_row(g, [&](int64_t p, int64_t image, int64_t row) { portable::avg_pool_row(g, p, x + image, y + row); });
}

template <class T>
void avg_pool2d_backward(const Pool2dShape& g, const T* dy, T* dx) {
    for_each_row_backward(g, dx, [&](int64_t p, int64_t image, int64_t row) {
        portable::avg_pool_row_backward(g, p, dy + row, dx + image);
    });
}

template <class T>
void mean_pixels_forward(int64_t n, int64_t pixels, int64_t channels, const T* x, T* y) {
    const T factor = T(1) / static_cast<T>(pixels);
    parallel_for(n, grain(pixels * channels), [=](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            portable::mean_rows(pixels, channels, x + i * pixels * channels, factor, y + i * channels);
    });
}

template <class T>
void mean_pixels_backward(int64_t n, int64_t pixels, int64_t channels, const T* dy, T* dx) {
    const T factor = T(1) / static_cast<T>(pixels);
    parallel_for(n * pixels, grain(channels), [=](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            for (int64_t c = 0; c < channels; ++c) dx[i * channels + c] = dy[i / pixels * channels + c] * factor;
    });
}

template void max_pool2d_forward(const Pool2dShape&, const float*, float*, uint8_t*);
template void max_pool2d_forward(const Pool2dShape&, const float*, float*, int32_t*);
template void max_pool2d_forward(const Pool2dShape&, const double*, double*, uint8_t*);
template void max_pool2d_forward(const Pool2dShape&, const double*, double*, int32_t*);
template void max_pool2d_backward(const Pool2dShape&, const float*, const uint8_t*, float*);
template void max_pool2d_backward(const Pool2dShape&, const float*, const int32_t*, float*);
template void max_pool2d_backward(const Pool2dShape&, const double*, const uint8_t*, double*);
template void max_pool2d_backward(const Pool2dShape&, const double*, const int32_t*, double*);
template void avg_pool2d_forward(const Pool2dShape&, const float*, float*);
template void avg_pool2d_forward(const Pool2dShape&, const double*, double*);
template void avg_pool2d_backward(const Pool2dShape&, const float*, float*);
template void avg_pool2d_backward(const Pool2dShape&, const double*, double*);
template void mean_pixels_forward(int64_t, int64_t, int64_t, const float*, float*);
template void mean_pixels_forward(int64_t, int64_t, int64_t, const double*, double*);
template void mean_pixels_backward(int64_t, int64_t, int64_t, const float*, float*);
template void mean_pixels_backward(int64_t, int64_t, int64_t, const double*, double*);

}  // namespace lathe::kernels
