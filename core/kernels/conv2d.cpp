#include "lathe/core/kernels/conv2d.h"

#include <cblas.h>

#include "lathe/core/kernels/conv2d_portable.h"
#include "lathe/core/kernels/gemm.h"
#include "lathe/core/memory.h"

namespace lathe::kernels {
namespace {

bool pointwise(const Conv2dShape& g) {
    return g.kernel_h == 1 && g.kernel_w == 1 && g.stride_h == 1 && g.stride_w == 1 && g.pad_top == 0 &&
           g.pad_left == 0 && g.out_h == g.in_h && g.out_w == g.in_w && g.groups == 1;
}

int64_t filter_size(const Conv2dShape& g) { return g.kernel_h * g.kernel_w * g.in_c; }

// Copies the patches under one output row to `patches` [Q, R, S, C]; taps outside the map read as zero.
void gather_patches(const Conv2dShape& g, const float* x, int64_t row, float* patches) {
    const int64_t n = row / g.out_h, p = row % g.out_h;
    for (int64_t q = 0; q < g.out_w; ++q)
        for (int64_t r = 0; r < g.kernel_h; ++r)
            for (int64_t s = 0; s < g.kernel_w; ++s, patches += g.in_c) {
                const int64_t h = p * g.stride_h - g.pad_top + r * g.dilation_h;
                const int64_t w = q * g.stride_w - g.pad_left + s * g.dilation_w;
                if (h >= 0 && h < g.in_h && w >= 0 && w < g.in_w)
                    std::copy_n(x + ((n * g.in_h + h) * g.in_w + w) * g.in_c, g.in_c, patches);
                else
                    std::fill_n(patches, g.in_c, 0.0f);
            }
}

// Adds patches [Q, R, S, C] of one output row back to the pixels that they came from.
void scatter_patches(const Conv2dShape& g, const float* patches, int64_t row, float* dx) {
    const int64_t n = row / g.out_h, p = row % g.out_h;
    for (int64_t q = 0; q < g.out_w; ++q)
        for (int64_t r = 0; r < g.kernel_h; ++r)
            for (int64_t s = 0; s < g.kernel_w; ++s, patches += g.in_c) {
                const int64_t h = p * g.stride_h - g.pad_top + r * g.dilation_h;
                const int64_t w = q * g.stride_w - g.pad_left + s * g.dilation_w;
                if (h < 0 || h >= g.in_h || w < 0 || w >= g.in_w) continue;
                float* pixel = dx + ((n * g.in_h + h) * g.in_w + w) * g.in_c;
                for (int64_t c = 0; c < g.in_c; ++c) pixel[c] += patches[c];
            }
}

void add_bias(int64_t pixels, int64_t channels, const float* bias, float* y) {
    for (int64_t i = 0; i < pixels; ++i)
        for (int64_t k = 0; k < channels; ++k) y[i * channels + k] += bias[k];
}

constexpr int64_t kWeightTasks = 8;  // partial sums of a weight gradient

}  // namespace

void conv2d_forward(const Conv2dShape& g, const float* x, const float* weight, const float* bias, float* y) {
    if (g.groups > 1) return portable::conv2d_forward(g, x, weight, bias, y);
    const int64_t filter = filter_size(g);
    parallel_for(g.batch * g.out_h, 4, [&](int64_t begin, int64_t end) {
        const int64_t pixels = (end - begin) * g.out_w;
        Workspace<float> patches(pointwise(g) ? 0 : pixels * filter);
        const float* a = x + begin * g.in_w * g.in_c;
        if (!pointwise(g)) {
            for (int64_t row = begin; row < end; ++row)
                gather_patches(g, x, row, patches.data() + (row - begin) * g.out_w * filter);
            a = patches.data();
        }
        float* out = y + begin * g.out_w * g.out_c;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, int(pixels), int(g.out_c), int(filter), 1.0f, a,
                    int(filter), weight, int(filter), 0.0f, out, int(g.out_c));
        if (bias) add_bias(pixels, g.out_c, bias, out);
    });
}

void conv2d_backward_input(const Conv2dShape& g, const float* dy, const float* weight, float* dx) {
    if (g.groups > 1) return portable::conv2d_backward_input(g, dy, weight, dx);
    if (pointwise(g))
        return gemm(Trans::no, Trans::no, g.batch * g.out_h * g.out_w, g.in_c, g.out_c, dy, g.out_c, weight, g.in_c, dx,
                    g.in_c);
    const int64_t filter = filter_size(g), image = g.in_h * g.in_w * g.in_c;
    parallel_for(g.batch, 1, [&](int64_t n, int64_t) {
        Workspace<float> patches(g.out_w * filter);
        std::fill_n(dx + n * image, image, 0.0f);
        for (int64_t row = n * g.out_h; row < (n + 1) * g.out_h; ++row) {
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, int(g.out_w), int(filter), int(g.out_c), 1.0f,
                        dy + row * g.out_w * g.out_c, int(g.out_c), weight, int(filter), 0.0f, patches.data(),
                        int(filter));
            scatter_patches(g, patches.data(), row, dx);
        }
    });
}

void conv2d_backward_weight(const Conv2dShape& g, const float* x, const float* dy, float* dweight) {
    if (g.groups > 1) return portable::conv2d_backward_weight(g, x, dy, dweight);
    const int64_t filter = filter_size(g), size = filter * g.out_c, rows = g.batch * g.out_h;
    Workspace<float> partials(kWeightTasks * size);
    parallel_tasks(kWeightTasks, [&](int64_t task) {
        Workspace<float> patches(g.out_w * filter);
        float* sum = partials.data() + task * size;
        std::fill_n(sum, size, 0.0f);
        for (int64_t row = rows * task / kWeightTasks; row < rows * (task + 1) / kWeightTasks; ++row) {
            gather_patches(g, x, row, patches.data());
            cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, int(g.out_c), int(filter), int(g.out_w), 1.0f,
                        dy + row * g.out_w * g.out_c, int(g.out_c), patches.data(), int(filter), 1.0f, sum, int(filter));
        }
    });
    parallel_for(size, 4096, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            float total = 0;
            for (int64_t task = 0; task < kWeightTasks; ++task) total += partials[task * size + i];
            dweight[i] = total;
        }
    });
}

const char* conv2d_algorithm(const Conv2dShape& g) {
    return g.groups > 1 ? "direct" : pointwise(g) ? "gemm1x1" : "im2col";
}

void conv2d_forward(const Conv2dShape& g, const double* x, const double* weight, const double* bias, double* y) {
    portable::conv2d_forward(g, x, weight, bias, y);
}
void conv2d_backward_input(const Conv2dShape& g, const double* dy, const double* weight, double* dx) {
    portable::conv2d_backward_input(g, dy, weight, dx);
}
void conv2d_backward_weight(const Conv2dShape& g, const double* x, const double* dy, double* dweight) {
    portable::conv2d_backward_weight(g, x, dy, dweight);
}

}  // namespace lathe::kernels
