#include "lathe/core/kernels/conv2d/images.h"

#include <vector>

#include "lathe/core/ceil_div.h"
#include "lathe/core/divmod.h"
#include "lathe/core/kernels/conv2d/axis.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/gemm/panel.h"
#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels::images {
namespace {

constexpr int64_t kMostLanes = 16;
constexpr int64_t kMostChannels = kMostLanes / 2;  // of a result
constexpr int64_t kFewestProducts = 16;  // of a result

// As many images as one panel has columns, from `first` on: addresses of what stands at `offset` in each, `beyond` past
// the last.
template <class T>
void side_by_side(T* images, int64_t size, int64_t first, int64_t batch, int64_t offset, T* beyond, T** to) {
    for (int i = 0; i < table().panel.columns; ++i)
        to[i] = first + i < batch ? images + (first + i) * size + offset : beyond;
}

// Results [out.h, out.w, out.c] of every image on the grid of the two axes. weight: [out.c, h.taps, w.taps, in.c].
void correlate(int64_t batch, const Axis& h, const Axis& w, const FeatureMap& in, const FeatureMap& out, const float* x,
               const float* weight, const Epilogue& epilogue, float* y) {
    const PanelTable& kernels = table().panel;
    const SparseTable& turn = table().sparse;
    const int64_t columns = kernels.columns, vectors = columns / kernels.lanes, units = ceil_div(batch, columns);
    const int64_t in_row = in.row() * columns, tap_row = w.taps * in.c;
    Workspace<float> zeros(static_cast<size_t>(in.row()));
    Workspace<float> turned(static_cast<size_t>(units * in.h * in_row));  // [units, H, W, C, columns]
    std::fill_n(zeros.data(), in.row(), 0.0f);
    parallel_for(units * in.h, ceil_div(1 << 14, in_row), [&](int64_t begin, int64_t end) {
        std::vector<const float*> rows(static_cast<size_t>(columns));
        for (int64_t i = begin; i < end; ++i) {
            const auto [unit, row] = divmod(i, in.h);
            side_by_side<const float>(x, in.size(), unit * columns, batch, row * in.row(), zeros.data(), rows.data());
            turn.enter(in.row(), vectors, rows.data(), 0, columns, turned.data() + i * in_row);
        }
    });

    // A line of results is turned back at once where they are neighbours, its channels seen as those of one wide pixel.
    const int64_t together = w.out_step == 1 ? w.count : 1;
    Workspace<float> biases(static_cast<size_t>(epilogue.bias ? together * out.c : 0));
    for (int64_t i = 0; epilogue.bias && i < together * out.c; ++i)
        biases[static_cast<size_t>(i)] = epilogue.bias[i % out.c];
    Epilogue end_of_line = epilogue;
    end_of_line.bias = epilogue.bias ? biases.data() : nullptr;

    const int64_t line_products = w.count * out.c * (h.taps * tap_row + 1) * vectors;
    parallel_for(units * h.count, ceil_div(1 << 16, line_products), [&](int64_t begin, int64_t end) {
        std::vector<float*> pixels(static_cast<size_t>(columns));
        std::vector<int64_t> runs(static_cast<size_t>(h.taps));
        // Whole vectors of rows are read.
        Workspace<float> sums(static_cast<size_t>((w.count * out.c + kMostLanes) * columns));  // [Q, K, columns]
        Panel p = empty_panel();
        p.a_row = h.taps * tap_row;
        p.a_step = 1;
        p.a_run = runs.data();
        p.b_step = columns;
        p.b_run = h.in_tap * in_row;
        p.c_row = columns;
        for (int64_t line = begin; line < end; ++line) {
            const auto [unit, i] = divmod(line, h.count);
            const TapRange r = taps_inside(h, i, in.h);
            p.runs = r.last - r.first;
            for (int64_t run = 0; run < p.runs; ++run) runs[static_cast<size_t>(run)] = run * tap_row;
            const float* from =
                turned.data() + (unit * in.h + h.in_first + i * h.in_step + r.first * h.in_tap) * in_row;
            for (int64_t j = 0; j < w.count; ++j) {
                const TapRange s = taps_inside(w, j, in.w);
                p.length = (s.last - s.first) * in.c;
                p.a = weight + r.first * tap_row + s.first * in.c;
                p.vectors = 0;
                add_columns(p, from + (w.in_first + j * w.in_step + s.first) * in.c * columns,
                            sums.data() + j * out.c * columns, columns, kernels.lanes);
                kernels.multiply(out.c, p);  // [K, taps C] x [taps C, columns]: a pixel of all images of the unit
            }
            for (int64_t j = 0; j < w.count; j += together) {
                const int64_t pixel = (h.out_first + i * h.out_step) * out.w + w.out_first + j * w.out_step;
                side_by_side<float>(y, out.size(), unit * columns, batch, pixel * out.c, nullptr, pixels.data());
                turn.leave(together * out.c, vectors, sums.data() + j * out.c * columns, columns, end_of_line, 0,
                           pixels.data(), false);
            }
        }
    });
}

bool fits(const Conv2dShape& g, int64_t result_channels) {
    return g.batch >= kMostLanes && g.groups == 1 && g.dilation_w == 1 && result_channels <= kMostChannels;
}

class ImagesConv2d final : public PreparedConv2d {
public:
    ImagesConv2d(const Conv2dShape& g, const float* weight)
        : g_(g), weight_(weight, weight + g.out_c * g.kernel_h * g.kernel_w * g.in_c) {}

    void forward(int64_t batch, const float* x, const Epilogue& epilogue, float* y) const override {
        correlate(batch, forward_axes(g_).h, forward_axes(g_).w, g_.input(), g_.output(), x,
                  weight_.data(), epilogue, y);
    }
    int64_t bytes() const override { return static_cast<int64_t>(weight_.size() * sizeof(float)); }
    std::string name() const override { return "images"; }

private:
    Conv2dShape g_;
    std::vector<float> weight_;
};

}  // namespace

// A gradient of the input has stride_h * stride_w phases, each of which makes fewer products of a value that it turns.
bool suits(const Conv2dShape& g, Conv2dPass pass) {
    const int64_t phases = g.stride_h * g.stride_w, window = g.kernel_h * g.kernel_w;
    switch (pass) {
        case Conv2dPass::forward: return fits(g, g.out_c) && window * g.in_c >= kFewestProducts;
        case Conv2dPass::backward_input: return fits(g, g.in_c) && window * g.out_c >= kFewestProducts * phases;
        case Conv2dPass::backward_weight: return false;
    }
    return false;
}

std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& g, const float* weight) {
    return std::make_unique<ImagesConv2d>(g, weight);
}

void backward_input(const Conv2dShape& g, const float* dy, const float* weight, float* dx) {
    for (int64_t phase = 0; phase < g.stride_h * g.stride_w; ++phase) {
        const Axis h = backward_axes(g, phase).h, w = backward_axes(g, phase).w;
        if (h.count * w.count == 0) continue;
        std::vector<float> turned(static_cast<size_t>(g.in_c * h.taps * w.taps * g.out_c));
        float* to = turned.data();
        for (int64_t c = 0; c < g.in_c; ++c)
            for (int64_t tap = 0; tap < h.taps * w.taps; ++tap)
                for (int64_t k = 0; k < g.out_c; ++k) {
                    const int64_t r = h.kernel_first + tap / w.taps * h.kernel_step,
                                  s = w.kernel_first + tap % w.taps * w.kernel_step;
                    *to++ = weight[((k * g.kernel_h + r) * g.kernel_w + s) * g.in_c + c];
                }
        correlate(g.batch, h, w, g.output(), g.input(), dy, turned.data(), {}, dx);
    }
}

}  // namespace lathe::kernels::images
