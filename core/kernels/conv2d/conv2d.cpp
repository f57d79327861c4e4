#include "lathe/core/kernels/conv2d/conv2d.h"

#include "lathe/core/kernels/conv2d/algorithms.h"
#include "lathe/core/kernels/conv2d/portable.h"
#include "lathe/core/kernels/dispatch/dispatch.h"

namespace lathe::kernels {

std::unique_ptr<PreparedConv2d> conv2d_prepare(const Conv2dShape& g, const float* weight) {
    return conv2d_algorithm(g, Conv2dPass::forward).prepare(g, weight);
}
std::unique_ptr<PreparedConv2d> conv2d_prepare(const Conv2dShape& g, const IndexedWeight& weight) {
    const Conv2dAlgorithm* row = conv2d_algorithms().data();
    while (!row->prepare_indexed || !row->suits(g, Conv2dPass::forward)) ++row;  // the last takes any
    return row->prepare_indexed(g, weight);
}

bool indexed_is_faster(const Conv2dShape& g, int bits) {
    constexpr int64_t kCachedWeights = 1 << 23;  // 32 MiB of values
    constexpr int64_t kMostRows = 4;
    constexpr int kMostBits = 5;
    return table().panel.lanes == 16 && bits <= kMostBits && g.pointwise() && g.groups == 1 &&
           g.weight_count() >= kCachedWeights && g.batch * g.out_h * g.out_w <= kMostRows;
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
