#include "lathe/core/kernels/pool/pool2d.h"

#include <algorithm>
#include <type_traits>

#include "lathe/core/ceil_div.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/pool/pool2d_portable.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels {

namespace {

// Windows of up to 256 pixels of float take this CPU's kernels, the others the portable ones.
template <class T, class Index = uint8_t>
decltype(auto) kernels_of() {
    if constexpr (std::is_same_v<T, float> && std::is_same_v<Index, uint8_t>) return (table().pool2d);
    else return portable::Pool2d<T, Index>{};
}

constexpr int64_t kTaskElements = 1 << 15;

int64_t grain(int64_t elements) { return std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, elements)); }

// f(windows, offset of the first pixel in the image, offset of the result in its row) for row p of the result: the
// windows that lie inside the image from left to right at once, the others one by one.
template <class F>
void for_each_window(const Pool2dShape& g, int64_t p, F&& f) {
    const int64_t top = p * g.stride_h - g.pad_top, r = std::max<int64_t>(0, -top);
    const int64_t first = std::min(g.out_w, ceil_div(g.pad_left, g.stride_w));
    const int64_t room = g.in_w - g.kernel_w + g.pad_left,
                  last = room < 0 ? 0 : std::min(g.out_w, room / g.stride_w + 1);
    for (int64_t q = 0; q < g.out_w;) {
        const int64_t left = q * g.stride_w - g.pad_left, s = std::max<int64_t>(0, -left);
        PoolWindows windows{.channels = g.channels, .rows = std::min(g.kernel_h, g.in_h - top) - r,
                            .cols = std::min(g.kernel_w, g.in_w - left) - s, .x_row = g.in_w * g.channels,
                            .count = q == first && first < last ? last - first : 1, .x_step = g.stride_w * g.channels,
                            .place = r * g.kernel_w + s, .place_row = g.kernel_w};
        f(windows, ((top + r) * g.in_w + left + s) * g.channels, q * g.channels);
        q += windows.count;
    }
}

// f(windows, offset of the first pixel in x, offset of the result in y) for the whole batch.
template <class F>
void for_each_window(const Pool2dShape& g, F&& f) {
    const int64_t image = g.in_h * g.in_w * g.channels, result = g.out_w * g.channels;
    parallel_for(g.batch * g.out_h, grain(result * g.kernel_h * g.kernel_w), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            for_each_window(g, i % g.out_h, [&](const PoolWindows& windows, int64_t x, int64_t y) {
                f(windows, i / g.out_h * image + x, i * result + y);
            });
    });
}

// The same for backward. Windows may overlap or leave gaps, so a task zeroes and fills whole images, unless each pixel
// belongs to exactly one window.
template <class T, class F>
void for_each_window_backward(const Pool2dShape& g, T* dx, F&& f) {
    const bool once = g.stride_h == g.kernel_h && g.stride_w == g.kernel_w && g.in_h == g.out_h * g.kernel_h &&
                      g.in_w == g.out_w * g.kernel_w && g.pad_top == 0 && g.pad_left == 0;
    const int64_t image = g.in_h * g.in_w * g.channels, result = g.out_w * g.channels;
    parallel_for(g.batch, grain(image), [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n) {
            if (!once) std::fill_n(dx + n * image, image, T(0));
            for (int64_t p = 0; p < g.out_h; ++p)
                for_each_window(g, p, [&](PoolWindows windows, int64_t x, int64_t y) {
                    windows.add = !once;
                    f(windows, n * image + x, (n * g.out_h + p) * result + y);
                });
        }
    });
}

template <class T>
T mean_factor(const Pool2dShape& g, const PoolWindows& windows) {
    return T(1) / static_cast<T>(g.count_padding ? g.kernel_h * g.kernel_w : windows.rows * windows.cols);
}

// The windows of global pooling: one, the image.
PoolWindows image_window(int64_t pixels, int64_t channels) {
    return {.channels = channels, .rows = 1, .cols = pixels, .x_row = pixels * channels, .add = false};
}

}  // namespace

template <class T, class Index>
void max_pool2d_forward(const Pool2dShape& g, const T* x, T* y, Index* index) {
    for_each_window(g, [&](const PoolWindows& windows, int64_t from, int64_t to) {
        kernels_of<T, Index>().max(windows, x + from, y + to, index ? index + to : nullptr);
    });
}

template <class T, class Index>
void max_pool2d_backward(const Pool2dShape& g, const T* dy, const Index* index, T* dx) {
    for_each_window_backward(g, dx, [&](const PoolWindows& windows, int64_t to, int64_t from) {
        kernels_of<T, Index>().max_backward(windows, dy + from, index + from, dx + to);
    });
}

template <class T>
void avg_pool2d_forward(const Pool2dShape& g, const T* x, T* y) {
    for_each_window(g, [&](const PoolWindows& windows, int64_t from, int64_t to) {
        kernels_of<T>().mean(windows, x + from, mean_factor<T>(g, windows), y + to);
    });
}

template <class T>
void avg_pool2d_backward(const Pool2dShape& g, const T* dy, T* dx) {
    for_each_window_backward(g, dx, [&](const PoolWindows& windows, int64_t to, int64_t from) {
        kernels_of<T>().mean_backward(windows, dy + from, mean_factor<T>(g, windows), dx + to);
    });
}

template <class T>
void mean_pixels_forward(int64_t n, int64_t pixels, int64_t channels, const T* x, T* y) {
    const PoolWindows image = image_window(pixels, channels);
    parallel_for(n, grain(pixels * channels), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            kernels_of<T>().mean(image, x + i * image.x_row, T(1) / static_cast<T>(pixels), y + i * channels);
    });
}

template <class T>
void mean_pixels_backward(int64_t n, int64_t pixels, int64_t channels, const T* dy, T* dx) {
    const PoolWindows image = image_window(pixels, channels);
    parallel_for(n, grain(pixels * channels), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
            kernels_of<T>().mean_backward(image, dy + i * channels, T(1) / static_cast<T>(pixels),
                                          dx + i * image.x_row);
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
