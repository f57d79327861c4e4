#include "lathe/core/kernels/conv2d/direct.h"

#include "lathe/core/ceil_div.h"
#include "lathe/core/divmod.h"
#include "lathe/core/kernels/conv2d/axis.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/gemm/panel.h"
#include "lathe/core/kernels/gemm/panels.h"
#include "lathe/core/kernels/gemm/tasks.h"
#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels::direct {
namespace {

// 64 KiB: a band, its results and a panel of weights share the second-level cache.
constexpr int64_t kBandFloats = 16384;

// The image under a band of results, padding included.
struct Band {
    int64_t rows, width, floats;  // results per band; pixels across; floats held

    Band(const Axis& h, const Axis& w, int64_t channels, int64_t most_rows) {
        width = w.extent(w.count);
        const int64_t fit = kBandFloats / (width * channels) - (h.taps - 1) * h.in_tap;
        rows = std::min(most_rows, std::clamp<int64_t>(fit / h.in_step, std::min<int64_t>(4, h.count), h.count));
        floats = h.extent(rows) * width * channels;
    }
};

void copy_band(const Axis& h, const Axis& w, const FeatureMap& map, const float* image, int64_t first, int64_t results,
               const Band& band, float* to) {
    const int64_t begin = std::clamp<int64_t>(-w.in_first, 0, band.width);
    const int64_t end = std::clamp<int64_t>(map.w - w.in_first, begin, band.width);
    for (int64_t row = 0; row < h.extent(results); ++row, to += band.width * map.c) {
        const int64_t in = h.in_first + first * h.in_step + row;
        const bool outside = in < 0 || in >= map.h || begin == end;
        std::fill(to, to + (outside ? band.width : begin) * map.c, 0.0f);
        if (outside) continue;
        const float* from = image + (in * map.w + begin + w.in_first) * map.c;
        std::copy(from, from + (end - begin) * map.c, to + begin * map.c);
        std::fill(to + end * map.c, to + band.width * map.c, 0.0f);
    }
}

// The taps of a kernel row are one stretch where they are neighbours in memory, else a stretch each.
bool joined(const Axis& w, int64_t groups) { return groups == 1 && (w.in_tap == 1 || w.taps == 1); }

// Weights of one group in panels [taps, channels, columns].
int64_t panel_size(const Axis& h, const Axis& w, int64_t in_per_group, const PanelTable& kernels) {
    return h.taps * w.taps * in_per_group * kernels.columns;
}

// How many neighbouring results fit into one vector: few channels would leave most of it idle. The kernel that makes
// `together` results at once is longer by the steps between them and holds zeros for the others' taps.
int64_t results_together(const Axis& w, int64_t out_c, int64_t groups, int64_t lanes) {
    if (!joined(w, groups) || w.out_step != 1 || w.in_step > w.taps) return 1;
    int64_t together = lanes / out_c;
    while (together > 1 && w.count % together != 0) --together;
    return std::max<int64_t>(together, 1);
}

Axis widened(const Axis& w, int64_t together) {
    Axis wide = w;
    wide.count = w.count / together;
    wide.in_step = w.in_step * together;
    wide.in_tap = 1;
    wide.taps = w.taps + (together - 1) * w.in_step;
    return wide;
}

// One panel [h.taps, w.taps, in_c, columns] holding out_c columns becomes [h.taps, wide.taps, in_c, columns] with a
// copy of them for each of the results.
void widen(const Axis& h, const Axis& w, const Axis& wide, int64_t in_c, int64_t out_c, int64_t columns,
           const float* panel, float* to) {
    std::fill(to, to + h.taps * wide.taps * in_c * columns, 0.0f);
    for (int64_t i = 0; i < wide.in_step / w.in_step; ++i)
        for (int64_t r = 0; r < h.taps; ++r)
            for (int64_t row = 0; row < w.taps * in_c; ++row)
                std::copy_n(panel + (r * w.taps * in_c + row) * columns, out_c,
                            to + ((r * wide.taps + i * w.in_step) * in_c + row) * columns + i * out_c);
}

// Results [out.h, out.w, out.c] of every image on the grid of the two axes; weights in panels group by group.
void correlate(int64_t batch, const Axis& h, const Axis& w, const FeatureMap& in, const FeatureMap& out, int64_t groups,
               const float* x, const Panels& weights, const Epilogue& epilogue, float* y) {
    if (batch == 0) return;
    const PanelTable& kernels = table().panel;
    const float* bias = epilogue.bias;
    if (const int64_t together = results_together(w, out.c, groups, kernels.lanes); together > 1) {
        const Axis wide = widened(w, together);
        Workspace<float> panel(static_cast<size_t>(panel_size(h, wide, in.c, kernels)));
        Workspace<float> biases(static_cast<size_t>(bias ? kernels.columns : 0));
        const int64_t rows = h.taps * w.taps * in.c;
        Workspace<float> narrow(static_cast<size_t>(weights.values ? 0 : rows * kernels.columns));
        widen(h, w, wide, in.c, out.c, kernels.columns, weights.rows(kernels, 0, 0, rows, narrow.data()), panel.data());
        for (int64_t i = 0; bias && i < kernels.columns; ++i) biases[i] = i < together * out.c ? bias[i % out.c] : 0;
        Epilogue repeated = epilogue;
        repeated.bias = biases.data();
        return correlate(batch, h, wide, in, {out.h, out.w / together, out.c * together}, 1, x,
                         {panel.data(), panel_size(h, wide, in.c, kernels)}, repeated, y);
    }
    const int64_t in_group = in.c / groups, out_group = out.c / groups, panels = ceil_div(out_group, kernels.columns);
    const int64_t macs = batch * h.count * w.count * h.taps * w.taps * in_group * out.c;
    const int64_t few = std::clamp<int64_t>(macs / kSerialMacs, 1, 4);  // tasks, at least, of what is not for one
    const Band band(h, w, in.c, ceil_div(h.count, ceil_div(few, batch)));
    const int64_t bands = ceil_div(h.count, band.rows);
    const bool one = joined(w, groups);

    const int64_t run_count = h.taps * (one ? 1 : w.taps), length = in_group * (one ? w.taps : 1);
    Workspace<int64_t> runs(static_cast<size_t>(run_count));
    for (int64_t i = 0; i < run_count; ++i) {
        const auto [r, s] = divmod(i, one ? 1 : w.taps);
        runs[i] = (r * h.in_tap * band.width + s * w.in_tap) * in.c;
    }
    // Rows of a panel that are read at a time: whole runs, or part of one.
    const int64_t most_rows = weights.most_rows(run_count * length);
    const int64_t some_runs = std::max<int64_t>(1, most_rows / length), some_length = std::min(length, most_rows);

    Panel shared = empty_panel();
    shared.a_row = w.in_step * in.c;
    shared.a_step = 1;
    shared.b_step = kernels.columns;
    shared.b_run = length * kernels.columns;
    shared.c_row = w.out_step * out.c;

    // Few bands, as at batch 1, are each shared by several tasks, which copy it anew.
    const int64_t all = groups * panels, tasks = batch * bands;
    const int64_t shares = std::clamp<int64_t>(kTasks / tasks, 1, ceil_div(all, 2));
    parallel_tasks(tasks * shares, [&](int64_t task) {
        const auto [image_band, share] = divmod(task, shares);
        const auto [n, band_index] = divmod(image_band, bands);
        const int64_t first = band_index * band.rows;
        const int64_t results = std::min(band.rows, h.count - first);
        Workspace<float> buffer(static_cast<size_t>(band.floats));  // [rows under the band, width, C]
        Workspace<float> looked_up(weights.buffer_floats(kernels.columns));
        copy_band(h, w, in, x + n * in.h * in.w * in.c, first, results, band, buffer.data());
        for (int64_t i = all * share / shares; i < all * (share + 1) / shares; ++i) {
            const auto [group, panel] = divmod(i, panels);
            const int64_t column = panel * kernels.columns;
            const int64_t channel = group * out_group + column;
            for (int64_t run = 0; run < run_count; run += some_runs)
                for (int64_t l = 0; l < length; l += some_length) {
                    Panel p = shared;
                    p.runs = std::min(some_runs, run_count - run);
                    p.length = std::min(some_length, length - l);
                    p.a_run = runs.data() + run;
                    const int64_t row_first = run * length + l, rows = p.runs * p.length;
                    const bool begins = row_first == 0, ends = row_first + rows == run_count * length;
                    const float* columns = weights.rows(kernels, i, row_first, rows, looked_up.data());
                    p.bias = begins && bias ? bias + channel : nullptr;
                    p.accumulate = epilogue.accumulate || !begins;
                    if (ends) p.low = epilogue.low, p.high = epilogue.high;
                    for (int64_t row = 0; row < results; ++row) {
                        p.a = buffer.data() + row * h.in_step * band.width * in.c + group * in_group + l;
                        float* c = y + ((n * out.h + h.out_first + (first + row) * h.out_step) * out.w + w.out_first) *
                                           out.c + channel;
                        p.vectors = 0;
                        add_columns(p, columns, c, std::min<int64_t>(out_group - column, kernels.columns),
                                    kernels.lanes);
                        kernels.multiply(w.count, p);  // [Q, R S C] x [R S C, columns]: a row of results
                    }
                }
        }
    });
}

class DirectConv2d final : public PreparedConv2d {
public:
    DirectConv2d(const Conv2dShape& g, const float* weight)
        : g_(g), weights_(g.groups, depth_of(g), g.out_c / g.groups, weight, 1, depth_of(g)) {}
    DirectConv2d(const Conv2dShape& g, const IndexedWeight& weight)
        : g_(g), weights_(g.groups, depth_of(g), g.out_c / g.groups, weight) {}

    void forward(int64_t batch, const float* x, const Epilogue& epilogue, float* y) const override {
        const auto [h, w] = forward_axes(g_);
        PaddedBias bias(epilogue.bias, g_.out_c, table().panel.columns);
        Epilogue padded = epilogue;
        padded.bias = bias.data();
        correlate(batch, h, w, g_.input(), g_.output(), g_.groups, x, weights_.panels(), padded, y);
    }

    int64_t bytes() const override { return weights_.bytes(); }
    std::string name() const override { return weights_.name("direct"); }

private:
    static int64_t depth_of(const Conv2dShape& g) { return g.kernel_h * g.kernel_w * (g.in_c / g.groups); }

    Conv2dShape g_;
    PanelWeights weights_;
};

}  // namespace

bool suits(const Conv2dShape&, Conv2dPass) { return true; }

std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight) {
    return std::make_unique<DirectConv2d>(shape, weight);
}
std::unique_ptr<PreparedConv2d> prepare_indexed(const Conv2dShape& shape, const IndexedWeight& weight) {
    return std::make_unique<DirectConv2d>(shape, weight);
}

void backward_input(const Conv2dShape& g, const float* dy, const float* weight, float* dx) {
    const PanelTable& kernels = table().panel;
    const int64_t c_group = g.in_c / g.groups, k_group = g.out_c / g.groups, filter = g.kernel_h * g.kernel_w * c_group;
    const int64_t panels = ceil_div(c_group, kernels.columns), image = g.in_h * g.in_w * g.in_c;
    // Strides longer than the kernel leave pixels that no tap has seen.
    if (g.stride_h > g.kernel_h || g.stride_w > g.kernel_w || g.dilation_h > 1 || g.dilation_w > 1)
        parallel_for(g.batch, 1, [&](int64_t n, int64_t end) { std::fill(dx + n * image, dx + end * image, 0.0f); });
    for (int64_t phase = 0; phase < g.stride_h * g.stride_w; ++phase) {
        const Axis h = backward_axes(g, phase).h, w = backward_axes(g, phase).w;
        if (h.count * w.count * h.taps * w.taps == 0) continue;
        const int64_t size = panel_size(h, w, k_group, kernels);
        Workspace<float> packed(static_cast<size_t>(g.groups * panels * size));
        for (int64_t i = 0; i < g.groups * h.taps * w.taps; ++i) {
            const auto [group, tap] = divmod(i, h.taps * w.taps);
            const int64_t r = h.kernel_first + tap / w.taps * h.kernel_step,
                          s = w.kernel_first + tap % w.taps * w.kernel_step;
            kernels.pack(k_group, c_group, weight + group * k_group * filter + (r * g.kernel_w + s) * c_group, filter,
                         1, packed.data() + group * panels * size + tap * k_group * kernels.columns, size);
        }
        correlate(g.batch, h, w, g.output(), g.input(), g.groups, dy, {packed.data(), size}, {}, dx);
    }
}

// dweight [K, R S C] = dy^T [K, pixels] patches [pixels, R S C]. A task adds up a stretch of the pixels for a block of
// K.
void backward_weight(const Conv2dShape& g, const float* x, const float* dy, float* dweight) {
    if (g.batch == 0) {
        std::fill_n(dweight, g.weight_count(), 0.0f);
        return;
    }
    const PanelTable& kernels = table().panel;
    const Axis h = forward_axes(g).h, w = forward_axes(g).w;
    const Band band(h, w, g.in_c, h.count);
    const int64_t c_group = g.in_c / g.groups, k_group = g.out_c / g.groups, filter = g.kernel_h * g.kernel_w * c_group;
    const int64_t size = g.out_c * filter, bands = ceil_div(g.out_h, band.rows), units = g.batch * bands;
    constexpr int64_t kPartialFloats = 1 << 22;
    const int64_t partials = std::clamp<int64_t>(kPartialFloats / size, 1, std::min(units, kTasks));
    const int64_t k_blocks = std::min(kTasks / partials, ceil_div(k_group, 64)), k_rows = ceil_div(k_group, k_blocks);
    const bool one = joined(w, g.groups);
    const int64_t run_taps = one ? g.kernel_w : 1, run = run_taps * c_group;

    Workspace<int64_t> rows(static_cast<size_t>(band.rows));
    for (int64_t i = 0; i < band.rows; ++i) rows[i] = i * g.out_w * g.out_c;
    Workspace<float> sums(static_cast<size_t>(partials > 1 ? partials * size : 0));  // [partials, K, R, S, C/G]
    parallel_tasks(partials * k_blocks, [&](int64_t task) {
        const auto [part, k_block] = divmod(task, k_blocks);
        const int64_t k_first = k_block * k_rows, m = std::min(k_rows, k_group - k_first);
        float* sum = partials > 1 ? sums.data() + part * size : dweight;
        // Vectors may reach beyond the last pixel.
        Workspace<float> buffer(static_cast<size_t>(band.floats + kernels.columns));
        std::fill(buffer.data() + band.floats, buffer.data() + band.floats + kernels.columns, 0.0f);
        const int64_t begin = units * part / partials, end = units * (part + 1) / partials;
        for (int64_t unit = begin; unit < end; ++unit) {
            const auto [n, band_index] = divmod(unit, bands);
            const int64_t first = band_index * band.rows, results = std::min(band.rows, h.count - first);
            copy_band(h, w, g.input(), x + n * g.in_h * g.in_w * g.in_c, first, results, band, buffer.data());
            Panel shared = empty_panel();
            shared.runs = results;
            shared.length = g.out_w;
            shared.a_row = 1;
            shared.a_step = g.out_c;
            shared.a_run = rows.data();
            shared.b_step = w.in_step * g.in_c;
            shared.b_run = h.in_step * band.width * g.in_c;
            shared.c_row = filter;
            shared.accumulate = unit > begin;
            for (int64_t group = 0; group < g.groups; ++group) {
                const int64_t k = group * k_group + k_first;
                Panel p = shared;
                p.a = dy + (n * g.out_h + first) * g.out_w * g.out_c + k;
                for (int64_t tap = 0; tap < g.kernel_h * g.kernel_w; tap += run_taps) {
                    const auto [r, s] = divmod(tap, g.kernel_w);
                    const float* pixel = buffer.data() + (r * h.in_tap * band.width + s * w.in_tap) * g.in_c;
                    const float* b = pixel + group * c_group;
                    float* c = sum + k * filter + tap * c_group;
                    for (int64_t j = 0; j < run; j += kernels.lanes) {
                        add_vector(p, b + j, c + j, run - j, kernels.lanes);
                        const bool last = tap + run_taps == g.kernel_h * g.kernel_w && j + kernels.lanes >= run;
                        if (p.vectors * kernels.lanes < kernels.columns && !last) continue;
                        kernels.multiply(m, p);  // [block of K, pixels] x [pixels, columns of R S C]
                        p.vectors = 0;
                    }
                }
            }
        }
    });
    if (partials > 1)
        parallel_for(size, ceil_div(1 << 16, partials), [&](int64_t begin, int64_t end) {
            std::copy(sums.data() + begin, sums.data() + end, dweight + begin);
            for (int64_t part = 1; part < partials; ++part)
                for (int64_t i = begin; i < end; ++i) dweight[i] += sums[part * size + i];
        });
}

}  // namespace lathe::kernels::direct
