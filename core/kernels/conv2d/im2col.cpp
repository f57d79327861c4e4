#include "lathe/core/kernels/conv2d/im2col.h"

#include "lathe/core/kernels/conv2d/axis.h"
#include "lathe/core/kernels/gemm/gemm.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels::im2col {
namespace {

constexpr int64_t kMostPixels = 64;

class Im2colConv2d final : public PreparedConv2d {
public:
    Im2colConv2d(const Conv2dShape& shape, const float* weight)
        : g_(shape),
          h_(forward_axes(g_).h),
          w_(forward_axes(g_).w),
          depth_(g_.kernel_h * g_.kernel_w * g_.in_c),
          weight_(Trans::yes, depth_, g_.out_c, weight, depth_) {}

    void forward(int64_t batch, const float* x, const Epilogue& epilogue, float* y) const override {
        const int64_t pixels = batch * g_.out_h * g_.out_w;
        Workspace<float> patches(static_cast<size_t>(pixels * depth_));
        parallel_for(pixels, 8, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) copy_patch(x, i, patches.data() + i * depth_);
        });
        weight_.multiply(pixels, patches.data(), depth_, y, g_.out_c, epilogue);
    }

    int64_t bytes() const override { return weight_.bytes(); }
    std::string name() const override { return "im2col"; }

private:
    // What the kernel sees of result `pixel`, [R, S, C], zeros outside the image.
    void copy_patch(const float* x, int64_t pixel, float* to) const {
        const int64_t n = pixel / (g_.out_h * g_.out_w);
        const int64_t top = h_.in_first + pixel / g_.out_w % g_.out_h * h_.in_step;
        const int64_t left = w_.in_first + pixel % g_.out_w * w_.in_step;
        for (int64_t r = 0; r < h_.taps; ++r)
            for (int64_t s = 0; s < w_.taps; ++s, to += g_.in_c) {
                const int64_t row = top + r * h_.in_tap, column = left + s * w_.in_tap;
                if (row < 0 || row >= g_.in_h || column < 0 || column >= g_.in_w)
                    std::fill_n(to, g_.in_c, 0.0f);
                else
                    std::copy_n(x + ((n * g_.in_h + row) * g_.in_w + column) * g_.in_c, g_.in_c, to);
            }
    }

    Conv2dShape g_;
    Axis h_, w_;
    int64_t depth_;
    PreparedMatrix weight_;
};

}  // namespace

bool suits(const Conv2dShape& g) {
    return g.groups == 1 && g.batch * g.out_h * g.out_w <= kMostPixels && g.in_c >= 64 && g.out_c >= 64;
}

std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight) {
    return std::make_unique<Im2colConv2d>(shape, weight);
}

}  // namespace lathe::kernels::im2col
