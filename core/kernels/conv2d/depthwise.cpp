#include "lathe/core/kernels/conv2d/depthwise.h"

#include "lathe/core/ceil_div.h"
#include "lathe/core/divmod.h"
#include "lathe/core/kernels/conv2d/axis.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/dispatch/streaming.h"
#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels::depthwise {
namespace {

// Calls body(row) for stretches of results that have the same taps inside the input, over results [begin, end) of h.
// Where the stretch has one tap range, `row` says it all but for the weights: they start at tap (first_r, first_s).
template <class Body>
void for_each_stretch(const Axis& h, const Axis& w, const FeatureMap& in, const FeatureMap& out, int64_t begin,
                      int64_t end, const float* x, float* y, const Body& body) {
    for (int64_t p = begin; p < end; ++p) {
        const TapRange rows = taps_inside(h, p, in.h);
        for (int64_t q = 0, next; q < w.count; q = next) {
            const TapRange taps = taps_inside(w, q, in.w);
            for (next = q + 1; next < w.count; ++next) {
                const TapRange other = taps_inside(w, next, in.w);
                if (other.first != taps.first || other.last != taps.last) break;
            }
            const int64_t in_row = h.in_first + p * h.in_step + rows.first * h.in_tap;
            const int64_t in_column = w.in_first + q * w.in_step + taps.first * w.in_tap;
            body(DepthwiseRow{.channels = in.c, .pixels = next - q, .rows = rows.last - rows.first,
                              .taps = taps.last - taps.first, .x = x + (in_row * in.w + in_column) * in.c,
                              .x_row = h.in_tap * in.w * in.c, .x_step = w.in_step * in.c, .x_tap = w.in_tap * in.c,
                              .weight = nullptr, .weight_row = w.taps * in.c, .bias = nullptr,
                              .y = y + ((h.out_first + p * h.out_step) * out.w + w.out_first + q * w.out_step) * in.c,
                              .y_step = w.out_step * in.c, .accumulate = false, .stream = false, .low = -INFINITY,
                              .high = INFINITY},
                 (rows.first * w.taps + taps.first) * in.c);
        }
    }
}

// Weights [C, R, S] of the axes' taps as [taps, taps, C].
void taps_first(const Axis& h, const Axis& w, int64_t channels, int64_t kernel_h, int64_t kernel_w, const float* weight,
                float* taps) {
    for (int64_t r = 0; r < h.taps; ++r)
        for (int64_t s = 0; s < w.taps; ++s) {
            const float* from =
                weight + (h.kernel_first + r * h.kernel_step) * kernel_w + w.kernel_first + s * w.kernel_step;
            for (int64_t c = 0; c < channels; ++c) *taps++ = from[c * kernel_h * kernel_w];
        }
}

constexpr int64_t kBandRows = 8;

// Whether results along both axes are those of a sliding 3x3 window.
bool slides(const Axis& h, const Axis& w) {
    const auto dense = [](const Axis& axis) {
        return axis.taps == 3 && axis.in_tap == 1 && axis.out_step == 1 && axis.in_step <= 2;
    };
    return dense(h) && dense(w) && h.in_step == w.in_step;
}

// Calls body(rows) for results [begin, end) of h, a band at a time, where `slides` holds. `zeros` [W, C] stands for
// rows outside the image.
template <class Body>
void for_each_band(const Axis& h, const Axis& w, const FeatureMap& in, int64_t begin, int64_t end, const float* x,
                   float* y, const float* zeros, const Body& body) {
    for (int64_t p = begin; p < end; p += kBandRows) {
        const int64_t results = std::min(kBandRows, end - p), first = h.in_first + p * h.in_step;
        const float* rows[kBandRows * 2 + 1];
        for (int64_t r = 0; r < h.extent(results); ++r)
            rows[r] = first + r >= 0 && first + r < in.h ? x + (first + r) * in.w * in.c : zeros;
        body(Depthwise3x3{.channels = in.c, .in_w = in.w, .rows = results, .out_w = w.count, .first = w.in_first,
                          .step = w.in_step, .x = rows, .weight = nullptr, .bias = nullptr, .y = y + p * w.count * in.c,
                          .accumulate = false, .stream = false, .low = -INFINITY, .high = INFINITY});
    }
}

struct Zeros : Workspace<float> {
    explicit Zeros(int64_t count) : Workspace<float>(static_cast<size_t>(count)) { std::fill_n(data(), count, 0.0f); }
};

// Rows [begin, end) of the results of one image.
void correlate(const Axis& h, const Axis& w, const FeatureMap& in, const FeatureMap& out, int64_t begin, int64_t end,
               const float* x, const float* zeros, const float* taps, const Epilogue& epilogue, bool stream, float* y) {
    const auto finish = [&](auto& rows, int64_t tap) {
        rows.weight = taps + tap;
        rows.bias = epilogue.bias;
        rows.low = epilogue.low;
        rows.high = epilogue.high;
        rows.accumulate = epilogue.accumulate;
        rows.stream = stream;
    };
    if (slides(h, w))
        for_each_band(h, w, in, begin, end, x, y, zeros, [&](Depthwise3x3 rows) {
            finish(rows, 0);
            table().depthwise.correlate_3x3(rows);
        });
    else
        for_each_stretch(h, w, in, out, begin, end, x, y, [&](DepthwiseRow row, int64_t tap) {
            finish(row, tap);
            table().depthwise.correlate(row);
        });
}

class DepthwiseConv2d final : public PreparedConv2d {
public:
    DepthwiseConv2d(const Conv2dShape& shape, const float* weight)
        : g_(shape),
          h_(forward_axes(g_).h),
          w_(forward_axes(g_).w),
          taps_(static_cast<size_t>(g_.kernel_h * g_.kernel_w * g_.in_c)) {
        taps_first(h_, w_, g_.in_c, g_.kernel_h, g_.kernel_w, weight, taps_.data());
    }

    void forward(int64_t batch, const float* x, const Epilogue& epilogue, float* y) const override {
        const FeatureMap in = g_.input(), out = g_.output();
        const bool stream = !epilogue.accumulate && streams(y, out.c, batch * out.h * out.w * out.c);
        const int64_t rows = rows_a_task(batch), bands = ceil_div(out.h, rows);
        Zeros zeros(in.w * in.c);
        parallel_tasks(batch * bands, [&](int64_t task) {
            const auto [n, band] = divmod(task, bands);
            const int64_t first = band * rows;
            correlate(h_, w_, in, out, first, std::min(first + rows, out.h), x + n * in.h * in.w * in.c,
                      zeros.data(), taps_.data(), epilogue, stream, y + n * out.h * out.w * out.c);
        });
    }

    int64_t bytes() const override { return g_.kernel_h * g_.kernel_w * g_.in_c * static_cast<int64_t>(sizeof(float)); }
    std::string name() const override { return "depthwise"; }

private:
    // A band, but as few images are cut into four tasks, or eight and so on, where each is half a microsecond or more.
    int64_t rows_a_task(int64_t batch) const {
        constexpr int64_t kLeastMacs = 1 << 15;
        const int64_t macs = batch * g_.out_h * g_.out_w * g_.weight_count();
        const int64_t even = ceil_div(std::clamp<int64_t>(macs / kLeastMacs, 1, 4), std::max<int64_t>(batch, 1));
        return ceil_div(g_.out_h, ceil_div(ceil_div(g_.out_h, kBandRows), even) * even);
    }

    Conv2dShape g_;
    Axis h_, w_;
    AlignedArray<float> taps_;  // [R, S, C]
};

}  // namespace

bool suits(const Conv2dShape& g, Conv2dPass) { return g.depthwise(); }

std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight) {
    return std::make_unique<DepthwiseConv2d>(shape, weight);
}

void backward_input(const Conv2dShape& g, const float* dy, const float* weight, float* dx) {
    const FeatureMap in = g.output(), out = g.input();
    const int64_t phases = g.stride_h * g.stride_w, size = g.kernel_h * g.kernel_w * g.in_c;
    Workspace<float> taps(static_cast<size_t>(phases * size));
    for (int64_t phase = 0; phase < phases; ++phase) {
        const auto [h, w] = backward_axes(g, phase);
        taps_first(h, w, g.in_c, g.kernel_h, g.kernel_w, weight, taps.data() + phase * size);
    }
    const bool stream = streams(dx, g.in_c, g.batch * g.in_h * g.in_w * g.in_c);
    Zeros zeros(in.w * in.c);
    parallel_tasks(g.batch, [&](int64_t n) {
        for (int64_t phase = 0; phase < phases; ++phase) {
            const auto [h, w] = backward_axes(g, phase);
            correlate(h, w, in, out, 0, h.count, dy + n * in.h * in.w * in.c, zeros.data(), taps.data() + phase * size,
                      {}, stream, dx + n * out.h * out.w * out.c);
        }
    });
}

void backward_weight(const Conv2dShape& g, const float* x, const float* dy, float* dweight) {
    const Axis h = forward_axes(g).h, w = forward_axes(g).w;
    const FeatureMap in = g.input(), out = g.output();
    const int64_t taps = g.kernel_h * g.kernel_w, size = taps * g.in_c, tasks = std::min<int64_t>(g.batch, 16);
    Workspace<float> sums(static_cast<size_t>(tasks * size));  // [tasks, R, S, C]
    Zeros zeros(in.w * in.c);
    parallel_tasks(tasks, [&](int64_t task) {
        float* sum = sums.data() + task * size;
        std::fill(sum, sum + size, 0.0f);
        for (int64_t n = g.batch * task / tasks; n < g.batch * (task + 1) / tasks; ++n) {
            const float* image = x + n * in.h * in.w * in.c;
            float* gradient = const_cast<float*>(dy) + n * out.h * out.w * out.c;  // only read
            if (slides(h, w))
                for_each_band(h, w, in, 0, g.out_h, image, gradient, zeros.data(),
                              [&](const Depthwise3x3& rows) { table().depthwise.weight_gradient_3x3(rows, sum); });
            else
                for_each_stretch(h, w, in, out, 0, g.out_h, image, gradient, [&](const DepthwiseRow& row, int64_t tap) {
                    table().depthwise.weight_gradient(row, sum + tap);
                });
        }
    });
    for (int64_t i = 0; i < size; ++i) {
        float total = 0;
        for (int64_t task = 0; task < tasks; ++task) total += sums[static_cast<size_t>(task * size + i)];
        const auto [tap, c] = divmod(i, g.in_c);
        dweight[c * taps + tap] = total;
    }
}

}  // namespace lathe::kernels::depthwise
