#include "lathe/core/kernels/conv2d/im2col.h"

#include "lathe/core/ceil_div.h"
#include "lathe/core/divmod.h"
#include "lathe/core/kernels/conv2d/axis.h"
#include "lathe/core/kernels/gemm/gemm.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels::im2col {
namespace {

constexpr int64_t kMostPixels = 64;

// The pixels of x [N, H, W, C] that results [begin, end) of N P Q see: [end - begin, R S C], zeros outside the image.
class Patches : public Workspace<float> {
public:
    Patches(const Conv2dShape& g, int64_t begin, int64_t end, const float* x)
        : Workspace<float>(static_cast<size_t>((end - begin) * depth_of(g))), g_(g), axes_(forward_axes(g)) {
        parallel_for(end - begin, 8, [&](int64_t from, int64_t to) {
            for (int64_t i = from; i < to; ++i) copy(x, begin + i, data() + i * depth_of(g));
        });
    }
    static int64_t depth_of(const Conv2dShape& g) { return g.kernel_h * g.kernel_w * g.in_c; }

private:
    void copy(const float* x, int64_t pixel, float* to) const {
        const auto& [h, w] = axes_;
        const auto [line, q] = divmod(pixel, g_.out_w);
        const auto [n, p] = divmod(line, g_.out_h);
        const int64_t top = h.in_first + p * h.in_step, left = w.in_first + q * w.in_step;
        for (int64_t r = 0; r < h.taps; ++r)
            for (int64_t s = 0; s < w.taps; ++s, to += g_.in_c) {
                const int64_t row = top + r * h.in_tap, column = left + s * w.in_tap;
                if (row < 0 || row >= g_.in_h || column < 0 || column >= g_.in_w)
                    std::fill_n(to, g_.in_c, 0.0f);
                else
                    std::copy_n(x + ((n * g_.in_h + row) * g_.in_w + column) * g_.in_c, g_.in_c, to);
            }
    }

    const Conv2dShape& g_;
    const Axes axes_;
};

class Im2colConv2d final : public PreparedConv2d {
public:
    Im2colConv2d(const Conv2dShape& g, const float* weight)
        : g_(g), weight_(Trans::yes, Patches::depth_of(g), g.out_c, weight, Patches::depth_of(g)) {}
    Im2colConv2d(const Conv2dShape& g, const IndexedWeight& weight)
        : g_(g), weight_(Patches::depth_of(g), g.out_c, weight) {}

    void forward(int64_t batch, const float* x, const Epilogue& epilogue, float* y) const override {
        // Few weights fit beside each core: a task then has pixels of its own. Many are better split among the cores.
        constexpr int64_t kFewWeights = 1 << 17, kTaskPixels = 32;
        const int64_t pixels = batch * g_.out_h * g_.out_w;
        const int64_t tasks = g_.weight_count() <= kFewWeights ? ceil_div(pixels, kTaskPixels) : 1;
        parallel_tasks(tasks, [&](int64_t task) {
            const int64_t begin = pixels * task / tasks, end = pixels * (task + 1) / tasks;
            const Patches patches(g_, begin, end, x);
            weight_.multiply(end - begin, patches.data(), Patches::depth_of(g_), y + begin * g_.out_c, g_.out_c,
                             epilogue);
        });
    }

    int64_t bytes() const override { return weight_.bytes(); }
    std::string name() const override { return weight_.name("im2col"); }

private:
    const Conv2dShape g_;
    const PreparedMatrix weight_;
};

}  // namespace

bool suits(const Conv2dShape& g, Conv2dPass pass) {
    return pass == Conv2dPass::forward && g.groups == 1 && g.batch * g.out_h * g.out_w <= kMostPixels && g.in_c >= 64 &&
           g.out_c >= 64;
}

std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight) {
    return std::make_unique<Im2colConv2d>(shape, weight);
}
std::unique_ptr<PreparedConv2d> prepare_indexed(const Conv2dShape& shape, const IndexedWeight& weight) {
    return std::make_unique<Im2colConv2d>(shape, weight);
}

// y [N P Q, K] = patches [N P Q, R S C] W^T
void forward(const Conv2dShape& g, const float* x, const float* weight, const Epilogue& end, float* y) {
    const int64_t pixels = g.batch * g.out_h * g.out_w, depth = Patches::depth_of(g);
    const Patches patches(g, 0, pixels, x);
    gemm(Trans::no, Trans::yes, pixels, g.out_c, depth, patches.data(), depth, weight, depth, y,
         g.out_c, end);
}

}  // namespace lathe::kernels::im2col
