#include "lathe/core/kernels/conv2d/conv2d.h"

#include "lathe/core/kernels/conv2d/depthwise.h"
#include "lathe/core/kernels/conv2d/direct.h"
#include "lathe/core/kernels/conv2d/im2col.h"
#include "lathe/core/kernels/conv2d/images.h"
#include "lathe/core/kernels/conv2d/portable.h"
#include "lathe/core/kernels/conv2d/winograd.h"
#include "lathe/core/kernels/gemm/gemm.h"

namespace lathe::kernels {
namespace {

bool is_matrix_product(const Conv2dShape& g) { return g.pointwise() && g.groups == 1; }

// A 1x1 convolution is a matrix product over the pixels.
class PointwiseConv2d final : public PreparedConv2d {
public:
    PointwiseConv2d(const Conv2dShape& g, const float* weight)
        : pixels_(g.out_h * g.out_w), in_c_(g.in_c), out_c_(g.out_c), weight_(Trans::yes, g.in_c, g.out_c, weight, g.in_c) {}
    void forward(int64_t batch, const float* x, const Epilogue& epilogue, float* y) const override {
        weight_.multiply(batch * pixels_, x, in_c_, y, out_c_, epilogue);
    }
    int64_t bytes() const override { return weight_.bytes(); }
    std::string name() const override { return "gemm1x1"; }

private:
    int64_t pixels_, in_c_, out_c_;
    PreparedMatrix weight_;
};

}  // namespace

std::unique_ptr<PreparedConv2d> conv2d_prepare(const Conv2dShape& g, const float* weight) {
    if (g.depthwise()) return depthwise::prepare(g, weight);
    if (is_matrix_product(g)) return std::make_unique<PointwiseConv2d>(g, weight);
    if (im2col::suits(g)) return im2col::prepare(g, weight);
    if (winograd::suits(g)) return winograd::prepare(g, weight);
    if (images::suits_forward(g)) return images::prepare(g, weight);
    return direct::prepare(g, weight);
}

void conv2d_forward(const Conv2dShape& g, const float* x, const float* weight, const Epilogue& epilogue, float* y) {
    conv2d_prepare(g, weight)->forward(g.batch, x, epilogue, y);
}

void conv2d_forward(const Conv2dShape& g, const float* x, const float* weight, const float* bias, float* y) {
    conv2d_forward(g, x, weight, Epilogue{bias}, y);
}

void conv2d_backward_input(const Conv2dShape& g, const float* dy, const float* weight, float* dx) {
    if (g.depthwise())
        depthwise::backward_input(g, dy, weight, dx);
    else if (is_matrix_product(g))
        gemm(Trans::no, Trans::no, g.batch * g.out_h * g.out_w, g.in_c, g.out_c, dy, g.out_c, weight, g.in_c, dx, g.in_c);
    else if (winograd::suits(g))
        winograd::backward_input(g, dy, weight, dx);
    else if (images::suits_backward_input(g))
        images::backward_input(g, dy, weight, dx);
    else
        direct::backward_input(g, dy, weight, dx);
}

void conv2d_backward_weight(const Conv2dShape& g, const float* x, const float* dy, float* dweight) {
    if (g.depthwise())
        depthwise::backward_weight(g, x, dy, dweight);
    else if (is_matrix_product(g))
        gemm(Trans::yes, Trans::no, g.out_c, g.in_c, g.batch * g.out_h * g.out_w, dy, g.out_c, x, g.in_c, dweight, g.in_c);
    else if (winograd::suits(g))
        winograd::backward_weight(g, x, dy, dweight);
    else
        direct::backward_weight(g, x, dy, dweight);
}

const char* conv2d_algorithm(const Conv2dShape& g) {
    if (g.depthwise()) return "depthwise";
    if (is_matrix_product(g)) return "gemm1x1";
    if (im2col::suits(g)) return "im2col";
    if (winograd::suits(g)) return "winograd4";
    return images::suits_forward(g) ? "images" : "direct";
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
