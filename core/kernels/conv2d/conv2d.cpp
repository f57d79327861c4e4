#include "lathe/core/kernels/conv2d/conv2d.h"

#include "lathe/core/kernels/conv2d/algorithms.h"
#include "lathe/core/kernels/conv2d/portable.h"

namespace lathe::kernels {

std::unique_ptr<PreparedConv2d> conv2d_prepare(const Conv2dShape& g, const float* weight) {
    return conv2d_algorithm(g, Conv2dPass::forward).prepare(g, weight);
}

void conv2d_forward(const Conv2dShape& g, const float* x, const float* weight, const Epilogue& epilogue, float* y) {
    conv2d_algorithm(g, Conv2dPass::forward).forward(g, x, weight, epilogue, y);
}
void conv2d_forward(const Conv2dShape& g, const float* x, const float* weight, const float* bias, float* y) {
    conv2d_forward(g, x, weight, Epilogue{bias}, y);
}
void conv2d_backward_input(const Conv2dShape& g, const float* dy, const float* weight, float* dx) {
    conv2d_algorithm(g, Conv2dPass::backward_input).backward_input(g, dy, weight, dx);
}
void conv2d_backward_weight(const Conv2dShape& g, const float* x, const float* dy, float* dweight) {
    conv2d_algorithm(g, Conv2dPass::backward_weight).backward_weight(g, x, dy, dweight);
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
