#include "lathe/core/kernels/conv2d.h"

#include "lathe/core/kernels/conv2d_depthwise.h"
#include "lathe/core/kernels/conv2d_direct.h"
#include "lathe/core/kernels/conv2d_portable.h"
#include "lathe/core/kernels/conv2d_winograd.h"
#include "lathe/core/kernels/gemm.h"

namespace lathe::kernels {
namespace {

bool pointwise(const Conv2dShape& g) {
    return g.kernel_h == 1 && g.kernel_w == 1 && g.stride_h == 1 && g.stride_w == 1 && g.pad_top == 0 &&
           g.pad_left == 0 && g.out_h == g.in_h && g.out_w == g.in_w && g.groups == 1;
}

}  // namespace

void conv2d_forward(const Conv2dShape& g, const float* x, const float* weight, const Epilogue& epilogue, float* y) {
    if (g.depthwise())
        depthwise::forward(g, x, weight, epilogue, y);
    else if (pointwise(g))
        gemm(Trans::no, Trans::yes, g.batch * g.out_h * g.out_w, g.out_c, g.in_c, x, g.in_c, weight, g.in_c, y, g.out_c,
             false, epilogue);
    else if (winograd::suits(g))
        winograd::forward(g, x, weight, epilogue, y);
    else
        direct::forward(g, x, weight, epilogue, y);
}

void conv2d_forward(const Conv2dShape& g, const float* x, const float* weight, const float* bias, float* y) {
    conv2d_forward(g, x, weight, Epilogue{bias}, y);
}

void conv2d_backward_input(const Conv2dShape& g, const float* dy, const float* weight, float* dx) {
    if (g.depthwise())
        depthwise::backward_input(g, dy, weight, dx);
    else if (pointwise(g))
        gemm(Trans::no, Trans::no, g.batch * g.out_h * g.out_w, g.in_c, g.out_c, dy, g.out_c, weight, g.in_c, dx, g.in_c);
    else if (winograd::suits(g))
        winograd::backward_input(g, dy, weight, dx);
    else
        direct::backward_input(g, dy, weight, dx);
}

void conv2d_backward_weight(const Conv2dShape& g, const float* x, const float* dy, float* dweight) {
    if (g.depthwise())
        depthwise::backward_weight(g, x, dy, dweight);
    else if (pointwise(g))
        gemm(Trans::yes, Trans::no, g.out_c, g.in_c, g.batch * g.out_h * g.out_w, dy, g.out_c, x, g.in_c, dweight, g.in_c);
    else if (winograd::suits(g))
        winograd::backward_weight(g, x, dy, dweight);
    else
        direct::backward_weight(g, x, dy, dweight);
}

const char* conv2d_algorithm(const Conv2dShape& g) {
    return g.depthwise() ? "depthwise" : pointwise(g) ? "gemm1x1" : winograd::suits(g) ? "winograd4" : "direct";
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
