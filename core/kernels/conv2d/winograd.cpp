#include "lathe/core/kernels/conv2d/winograd.h"

#include "lathe/core/ceil_div.h"
#include "lathe/core/divmod.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/dispatch/streaming.h"
#include "lathe/core/kernels/gemm/panel.h"
#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels::winograd {
namespace {

constexpr int64_t kPoints = 36;
constexpr int64_t kVector = 16;  // floats in the widest vector: points are kept in whole ones
// Floats between points and long rows, or their power-of-two distances would share a cache set.
constexpr int64_t kPad = 16;

// Tiles of 4x4 pixels over all images of a batch.
struct Tiles {
    int64_t down, across, count;

    Tiles(int64_t batch, const FeatureMap& map)
        : down(ceil_div(map.h, 4)),
          across(ceil_div(map.w, 4)),
          count(batch * down * across) {}

    // Addresses of kSize x kSize pixels, the first (shift_h, shift_w) before the tile's corner; `outside` beyond the
    // map.
    template <int kSize, class T>
    void pixels(int64_t tile, const FeatureMap& map, int64_t shift_h, int64_t shift_w, T* image, T* outside,
                T** to) const {
        const auto [line, j] = divmod(tile, across);
        const auto [n, i] = divmod(line, down);
        const int64_t top = i * 4 - shift_h, left = j * 4 - shift_w;
        T* row = image + ((n * map.h + top) * map.w + left) * map.c;
        const bool inside = left >= 0 && left + kSize <= map.w;
        for (int64_t h = 0; h < kSize; ++h, row += map.w * map.c, to += kSize) {
            const bool above = top + h < 0 || top + h >= map.h;
            for (int64_t w = 0; w < kSize; ++w)
                to[w] = above || (!inside && (left + w < 0 || left + w >= map.w)) ? outside : row + w * map.c;
        }
    }
};

int64_t whole_vectors(int64_t floats) { return ceil_div(floats, kVector) * kVector; }

// A matrix [rows, columns] for each of the 36 points.
struct Points {
    int64_t row, step;
    Workspace<float> data;

    Points(int64_t rows, int64_t columns)
        : row(whole_vectors(columns) + (columns % 128 ? 0 : kPad)),
          step(rows * row + kPad),
          data(static_cast<size_t>(kPoints * step)) {}
    float* at(int64_t i, int64_t point = 0) { return data.data() + point * step + i * row; }
};

// Transformed weights: for each point, panels [depth, columns] that matrix products read.
struct Panels {
    const PanelTable& kernels = table().panel;
    int64_t depth, width, size, step;
    AlignedArray<float> data;

    Panels(int64_t depth, int64_t width)
        : depth(depth),
          width(width),
          size(depth * kernels.columns),
          step(ceil_div(width, kernels.columns) * size + kPad),
          data(static_cast<size_t>(kPoints * step)) {}
};

// Addresses of the nine taps [R, S, C] of a filter.
void taps_of(const float* filter, int64_t channels, bool flipped, const float** to) {
    for (int i = 0; i < 9; ++i) to[i] = filter + (flipped ? 8 - i : i) * channels;
}

// U [C, K] from weight [K, 3, 3, C]: transformed along C, then turned.
void fill_forward(const Conv2dShape& g, const float* weight, Panels& panels) {
    constexpr int64_t kChunk = 64;
    const int columns = panels.kernels.columns;
    parallel_for(ceil_div(g.out_c, columns), 1, [&](int64_t panel, int64_t) {
        const int64_t k_first = panel * columns, width = std::min<int64_t>(columns, g.out_c - k_first);
        for (int64_t c = 0; c < g.in_c; c += kChunk) {
            const int64_t channels = std::min(kChunk, g.in_c - c);
            Points turned(width, kChunk);
            for (int64_t k = 0; k < width; ++k) {
                const float* taps[9];
                taps_of(weight + (k_first + k) * 9 * g.in_c + c, g.in_c, false, taps);
                table().winograd.filter(channels, taps, turned.at(k), turned.step);
            }
            for (int64_t point = 0; point < kPoints; ++point)
                panels.kernels.pack(channels, width, turned.at(0, point), 1, turned.row,
                                    panels.data.data() + point * panels.step + panel * panels.size + c * columns,
                                    panels.size);
        }
    });
}

// U [K, C] from the filters turned by 180 degrees.
void fill_backward(const Conv2dShape& g, const float* weight, Panels& panels) {
    const int columns = panels.kernels.columns;
    parallel_for(ceil_div(g.in_c, columns), 1, [&](int64_t panel, int64_t) {
        const int64_t c = panel * columns;
        for (int64_t k = 0; k < g.out_c; ++k) {
            const float* taps[9];
            taps_of(weight + k * 9 * g.in_c + c, g.in_c, true, taps);
            table().winograd.filter(std::min<int64_t>(columns, g.in_c - c), taps,
                                    panels.data.data() + panel * panels.size + k * columns, panels.step);
        }
    });
}

// How many tiles go through all steps at once, and whether such blocks are the tasks. They are where the weights stay
// in a second-level cache beside each: what a step writes the next one reads on the same core. Otherwise larger blocks
// are spread over the threads step by step, each step reading what all cores wrote.
struct Blocking {
    int64_t tiles;
    bool tasks;

    Blocking(int64_t count, int64_t c, int64_t k, int64_t large) {
        constexpr int64_t kCacheFloats = 1 << 17, kTasks = 4, kEnough = 32;
        tiles = std::clamp<int64_t>(kCacheFloats / (kPoints * (c + k)), 14, 112);
        const int64_t half = ceil_div(count, 2), share = ceil_div(count, kTasks);
        tiles = std::min(tiles, std::max(share, std::min(half, kEnough)));  // few tiles make small matrix products
        tasks = kPoints * c * k <= kCacheFloats && tiles < count;
        tiles = std::min(tasks ? ceil_div(count, ceil_div(count, tiles)) : large, count);
    }
};

// Tiles that are transformed by one task: a microsecond or more.
int64_t tiles_a_task(int64_t channels) { return std::clamp<int64_t>((1 << 14) / (kPoints * channels), 4, 32); }

// y [out] = Winograd of x [in] padded by (pad_h, pad_w) with the transformed weights.
void convolve(int64_t batch, const FeatureMap& in, const FeatureMap& out, int64_t pad_h, int64_t pad_w, const float* x,
              const Panels& panels, const Epilogue& epilogue, float* y) {
    if (batch == 0) return;
    const Tiles tiles(batch, out);
    const Blocking blocking(tiles.count, in.c, out.c, 112);
    const bool stream = !epilogue.accumulate && streams(y, out.c, batch * out.h * out.w * out.c);
    Workspace<float> zeros(static_cast<size_t>(in.c));
    std::fill(zeros.data(), zeros.data() + in.c, 0.0f);

    const auto block = [&](int64_t first) {
        const int64_t count = std::min(blocking.tiles, tiles.count - first);
        Points inputs(count, in.c), products(count, out.c);  // V [36, tiles, C] and M [36, tiles, K]
        parallel_for(count, tiles_a_task(in.c), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                const float* pixels[36];
                tiles.pixels<6, const float>(first + i, in, pad_h, pad_w, x, zeros.data(), pixels);
                table().winograd.input(in.c, pixels, inputs.at(i), inputs.step);
            }
        });
        // While a panel multiplies, the next one is fetched if few tiles use it, else the next tile.
        const int columns = panels.kernels.columns;
        const int64_t passes = ceil_div(count, panels.kernels.rows), out_panels = ceil_div(out.c, columns);
        const int64_t points_a_task = std::clamp<int64_t>((1 << 17) / (count * in.c * out.c), 1, 6);
        parallel_for(kPoints, points_a_task, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin * out_panels; i < end * out_panels; ++i) {
                const auto [point, out_panel] = divmod(i, out_panels);
                const int64_t k = out_panel * columns;
                const float* panel = panels.data.data() + point * panels.step + out_panel * panels.size;
                Panel p = empty_panel();
                p.length = in.c;
                p.a = inputs.at(0, point);
                p.a_row = inputs.row;
                p.a_step = 1;
                p.b_step = columns;
                p.c_row = products.row;
                if (passes <= 8) p.ahead = panel + panels.size, p.ahead_step = ceil_div(columns, passes);
                else if (k == 0)
                    p.ahead = inputs.at(panels.kernels.rows, point), p.ahead_step = panels.kernels.rows + 1;
                const int64_t width = std::min<int64_t>(columns, whole_vectors(out.c - k));
                add_columns(p, panel, products.at(0, point) + k, width, panels.kernels.lanes);
                panels.kernels.multiply(count, p);  // [tiles, C] x [C, columns] of one point
            }
        });
        parallel_for(count, tiles_a_task(out.c), [&](int64_t begin, int64_t end) {
            Workspace<float> outside(static_cast<size_t>(out.c));
            for (int64_t i = begin; i < end; ++i) {
                float* pixels[16];
                tiles.pixels<4, float>(first + i, out, 0, 0, y, outside.data(), pixels);
                table().winograd.output(out.c, products.at(i), products.step, epilogue, pixels, stream);
            }
        });
    };
    const int64_t count = ceil_div(tiles.count, blocking.tiles);
    if (blocking.tasks)
        parallel_tasks(count, [&](int64_t task) { block(task * blocking.tiles); });
    else
        for (int64_t i = 0; i < count; ++i) block(i * blocking.tiles);
}

class WinogradConv2d final : public PreparedConv2d {
public:
    WinogradConv2d(const Conv2dShape& shape, const float* weight) : g_(shape), panels_(g_.in_c, g_.out_c) {
        fill_forward(g_, weight, panels_);
    }
    void forward(int64_t batch, const float* x, const Epilogue& epilogue, float* y) const override {
        convolve(batch, g_.input(), g_.output(), g_.pad_top, g_.pad_left, x, panels_, epilogue, y);
    }
    int64_t bytes() const override { return kPoints * panels_.step * static_cast<int64_t>(sizeof(float)); }
    std::string name() const override { return "winograd4"; }

private:
    Conv2dShape g_;
    Panels panels_;
};

}  // namespace

bool suits(const Conv2dShape& g, Conv2dPass pass) {
    if (g.exact && pass == Conv2dPass::forward) return false;
    const FeatureMap in = g.input(), out = g.output();
    const int64_t tiles = std::max(Tiles(1, out).count, Tiles(1, in).count);
    return g.kernel_h == 3 && g.kernel_w == 3 && g.stride_h == 1 && g.stride_w == 1 && g.dilation_h == 1 &&
           g.dilation_w == 1 && g.groups == 1 && g.in_c >= kVector && g.out_c >= kVector &&
           tiles * kPoints * 2 <= g.out_h * g.out_w * 9;
}

std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight) {
    return std::make_unique<WinogradConv2d>(shape, weight);
}

void backward_input(const Conv2dShape& g, const float* dy, const float* weight, float* dx) {
    Panels panels(g.out_c, g.in_c);
    fill_backward(g, weight, panels);
    convolve(g.batch, g.output(), g.input(), 2 - g.pad_top, 2 - g.pad_left, dy, panels, {}, dx);
}

// dU [K, C] of each point = sum over tiles of (A dy A^T) (B^T x B); dweight = G^T dU G.
void backward_weight(const Conv2dShape& g, const float* x, const float* dy, float* dweight) {
    if (g.batch == 0) {
        std::fill_n(dweight, g.weight_count(), 0.0f);
        return;
    }
    const FeatureMap in = g.input(), out = g.output();
    const Tiles tiles(g.batch, out);
    const Blocking blocking(tiles.count, g.in_c, g.out_c, 224);
    const PanelTable& kernels = table().panel;
    const int64_t parts = blocking.tasks ? std::min<int64_t>(8, ceil_div(tiles.count, blocking.tiles)) : 1;
    Workspace<float> zeros(static_cast<size_t>(std::max(in.c, out.c)));
    std::fill(zeros.data(), zeros.data() + std::max(in.c, out.c), 0.0f);

    const int64_t row = whole_vectors(in.c), point_size = g.out_c * row + kPad, sum_size = kPoints * point_size;
    Workspace<float> sums(static_cast<size_t>(parts * sum_size));
    const auto part = [&](int64_t index) {
        float* sum = sums.data() + index * sum_size;
        const int64_t begin = tiles.count * index / parts, end = tiles.count * (index + 1) / parts;
        for (int64_t first = begin; first < end; first += blocking.tiles) {
            const int64_t count = std::min(blocking.tiles, end - first);
            Points inputs(count, in.c), gradients(count, out.c);
            parallel_for(count, tiles_a_task(in.c + out.c), [&](int64_t from, int64_t to) {
                for (int64_t i = from; i < to; ++i) {
                    const float* pixels[36];
                    tiles.pixels<6, const float>(first + i, in, g.pad_top, g.pad_left, x, zeros.data(), pixels);
                    table().winograd.input(in.c, pixels, inputs.at(i), inputs.step);
                    tiles.pixels<4, const float>(first + i, out, 0, 0, dy, zeros.data(), pixels);
                    table().winograd.gradient(out.c, pixels, gradients.at(i), gradients.step);
                }
            });
            parallel_for(kPoints, 1, [&](int64_t point, int64_t) {
                for (int64_t c = 0; c < in.c; c += kernels.columns) {
                    Panel p = empty_panel();
                    p.length = count;
                    p.a = gradients.at(0, point);
                    p.a_row = 1;
                    p.a_step = gradients.row;
                    p.b_step = inputs.row;
                    p.c_row = row;
                    p.accumulate = first > begin;
                    add_columns(p, inputs.at(0, point) + c, sum + point * point_size + c,
                                std::min<int64_t>(kernels.columns, row - c), kernels.lanes);
                    kernels.multiply(out.c, p);
                }
            });
        }
    };
    if (parts > 1)
        parallel_tasks(parts, part);
    else
        part(0);
    parallel_for(g.out_c, 4, [&](int64_t begin, int64_t end) {
        for (int64_t point = 0; parts > 1 && point < kPoints; ++point) {
            float* total = sums.data() + point * point_size;
            for (int64_t index = 1; index < parts; ++index)
                for (int64_t i = begin * row; i < end * row; ++i) total[i] += total[index * sum_size + i];
        }
        for (int64_t k = begin; k < end; ++k) {
            float* taps[9];
            for (int i = 0; i < 9; ++i) taps[i] = dweight + (k * 9 + i) * in.c;
            table().winograd.filter_gradient(in.c, sums.data() + k * row, point_size, {}, taps, false);
        }
    });
}

}  // namespace lathe::kernels::winograd
