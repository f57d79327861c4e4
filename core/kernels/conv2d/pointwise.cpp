#include "lathe/core/kernels/conv2d/pointwise.h"

#include "lathe/core/kernels/gemm/gemm.h"

namespace lathe::kernels::pointwise {
namespace {

int64_t pixels(const Conv2dShape& g) { return g.batch * g.out_h * g.out_w; }

class PointwiseConv2d final : public PreparedConv2d {
public:
    PointwiseConv2d(const Conv2dShape& g, const float* weight)
        : image_pixels_(g.out_h * g.out_w),
          in_c_(g.in_c),
          out_c_(g.out_c),
          weight_(Trans::yes, g.in_c, g.out_c, weight, g.in_c) {}
    PointwiseConv2d(const Conv2dShape& g, const IndexedWeight& weight)
        : image_pixels_(g.out_h * g.out_w), in_c_(g.in_c), out_c_(g.out_c), weight_(g.in_c, g.out_c, weight) {}

    void forward(int64_t batch, const float* x, const Epilogue& epilogue, float* y) const override {
        weight_.multiply(batch * image_pixels_, x, in_c_, y, out_c_, epilogue);
    }
    int64_t bytes() const override { return weight_.bytes(); }
    std::string name() const override { return weight_.name("gemm1x1"); }

private:
    int64_t image_pixels_, in_c_, out_c_;
    PreparedMatrix weight_;
};

}  // namespace

bool suits(const Conv2dShape& g, Conv2dPass) { return g.pointwise() && g.groups == 1; }

std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& g, const float* weight) {
    return std::make_unique<PointwiseConv2d>(g, weight);
}
std::unique_ptr<PreparedConv2d> prepare_indexed(const Conv2dShape& g, const IndexedWeight& weight) {
    return std::make_unique<PointwiseConv2d>(g, weight);
}

// y [pixels, K] = x [pixels, C] W^T
void forward(const Conv2dShape& g, const float* x, const float* weight, const Epilogue& epilogue, float* y) {
    gemm(Trans::no, Trans::yes, pixels(g), g.out_c, g.in_c, x, g.in_c, weight, g.in_c, y, g.out_c, epilogue);
}

// dx [pixels, C] = dy [pixels, K] W [K, C]
void backward_input(const Conv2dShape& g, const float* dy, const float* weight, float* dx) {
    gemm(Trans::no, Trans::no, pixels(g), g.in_c, g.out_c, dy, g.out_c, weight, g.in_c, dx, g.in_c);
}

// dW [K, C] = dy^T [K, pixels] x [pixels, C]
void backward_weight(const Conv2dShape& g, const float* x, const float* dy, float* dweight) {
    gemm(Trans::yes, Trans::no, g.out_c, g.in_c, pixels(g), dy, g.out_c, x, g.in_c, dweight, g.in_c);
}

}  // namespace lathe::kernels::pointwise
