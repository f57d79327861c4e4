#pragma once
#include <cstdint>
#include <memory>

#include "lathe/core/kernels/gemm/epilogue.h"

namespace lathe::kernels {

// The geometry of a 2-D convolution. Letters used throughout: N batch, H x W input map, C input channels, P x Q output
// map, K output channels, R x S kernel, G groups. Padding below and to the right follows from out_h and out_w.
struct Conv2dShape {
    int64_t batch, in_h, in_w, in_c;       // x [N, H, W, C]
    int64_t out_h, out_w, out_c;           // y [N, P, Q, K]
    int64_t kernel_h, kernel_w;            // weight [K, R, S, C/G]
    int64_t stride_h = 1, stride_w = 1;
    int64_t pad_top = 0, pad_left = 0;
    int64_t dilation_h = 1, dilation_w = 1;
    int64_t groups = 1;

    bool depthwise() const { return groups == in_c && out_c == in_c; }
    bool pointwise() const {  // result pixels see only the pixel that they stand on
        return kernel_h == 1 && kernel_w == 1 && stride_h == 1 && stride_w == 1 && pad_top == 0 && pad_left == 0 &&
               out_h == in_h && out_w == in_w;
    }
    int64_t macs() const { return batch * out_h * out_w * out_c * kernel_h * kernel_w * (in_c / groups); }
};

// Every function overwrites its result, splits its work over the threads and gives the same bits for any number of them.
// float32 runs the fastest kernel of this CPU; float64 the portable reference (gradient checks).

// y = conv(x, weight) + bias; bias [K] may be null.
void conv2d_forward(const Conv2dShape& shape, const float* x, const float* weight, const float* bias, float* y);
void conv2d_forward(const Conv2dShape& shape, const float* x, const float* weight, const Epilogue& epilogue, float* y);
void conv2d_forward(const Conv2dShape& shape, const double* x, const double* weight, const double* bias, double* y);

// dx [N, H, W, C] from dy [N, P, Q, K].
void conv2d_backward_input(const Conv2dShape& shape, const float* dy, const float* weight, float* dx);
void conv2d_backward_input(const Conv2dShape& shape, const double* dy, const double* weight, double* dx);

// dweight [K, R, S, C/G] from x and dy.
void conv2d_backward_weight(const Conv2dShape& shape, const float* x, const float* dy, float* dweight);
void conv2d_backward_weight(const Conv2dShape& shape, const double* x, const double* dy, double* dweight);

// Weights arranged once for the kernel that conv2d_forward takes for a shape: for many forwards, of any batch size.
class Conv2dFilter {
public:
    virtual ~Conv2dFilter() = default;
    virtual void forward(int64_t batch, const float* x, const Epilogue& epilogue, float* y) const = 0;
    virtual int64_t bytes() const = 0;  // that the arranged weights take
};
std::unique_ptr<Conv2dFilter> conv2d_pack(const Conv2dShape& shape, const float* weight);

// The name of the algorithm that conv2d_forward takes for this shape ("winograd4", "gemm1x1", "depthwise", …).
const char* conv2d_algorithm(const Conv2dShape& shape);

}  // namespace lathe::kernels
