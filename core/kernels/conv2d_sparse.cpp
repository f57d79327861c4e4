#include "lathe/core/kernels/conv2d_sparse.h"

#include <algorithm>

#include "lathe/core/kernels/gemm_panel.h"
#include "lathe/core/kernels/sparse_tiling.h"
#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels::sparse {
namespace {

constexpr int64_t kSegment = SparseFilter::kSegment;
constexpr int64_t kTasks = 16;
constexpr double kSerialCycles = 40000;  // below it, waking a thread takes longer than the product

// Pixels of a 1x1 convolution are all alike: one line of them.
Conv2dShape flattened(const Conv2dShape& g, int64_t batch) {
    Conv2dShape shape = g;
    shape.batch = batch;
    if (g.kernel_h == 1 && g.kernel_w == 1 && g.stride_h == 1 && g.stride_w == 1 && g.pad_top == 0 && g.pad_left == 0 &&
        g.out_h == g.in_h && g.out_w == g.in_w) {
        shape.in_w = shape.out_w = batch * g.out_h * g.out_w;
        shape.batch = shape.in_h = shape.out_h = 1;
    }
    return shape;
}

int64_t nonzeros(const Conv2dShape& g, const float* weight) {
    const int64_t count = g.out_c * g.kernel_h * g.kernel_w * (g.in_c / g.groups);
    return count - std::count(weight, weight + count, 0.0f);
}

class Filter final : public Conv2dFilter {
public:
    Filter(const Conv2dShape& g, const float* weight, SparsePattern pattern)
        : shape_(g),
          tiling_(best_tiling(flattened(g, g.batch), pattern, nonzeros(g, weight))),
          filter_(pattern, g.out_c, g.kernel_h * g.kernel_w, g.in_c / g.groups, g.groups, weight,
                  tiling_.chunk(nonzeros(g, weight))),
          zeros_(static_cast<size_t>(g.in_c)) {
        if (pattern == SparsePattern::one_of_four || pattern == SparsePattern::two_of_four) {
            groups_ = offsets(filter_.chunk(), 4);
            last_groups_ = offsets(channels_of(filter_.chunks() - 1), 4);
        } else {
            filter_.place(offsets(filter_.chunk(), 1));
        }
    }

    void forward(int64_t batch, const float* x, const Epilogue& epilogue, float* y) const override {
        if (batch == 0) return;
        if (batch == shape_.batch) return forward(tiling_, x, epilogue, y);
        forward(Tiling(flattened(shape_, batch), tiling_.kernels, tiling_.tile), x, epilogue, y);
    }
    int64_t bytes() const override { return filter_.bytes(); }

private:
    int64_t channels_of(int64_t chunk) const { return std::min(filter_.chunk(), filter_.in_per_group() - chunk * filter_.chunk()); }
    int64_t chunk_floats() const { return filter_.chunk() * tiling_.plane; }
    int64_t sum_floats(int64_t segments) const {
        return (filter_.chunks() > 1 ? segments : 1) * kSegment * tiling_.vectors * tiling_.kernels.lanes;
    }

    // Where the planes of `channels` channels hold what tap meets channel 0, step, 2 step, … [taps, channels / step].
    std::vector<int32_t> offsets(int64_t channels, int64_t step) const {
        std::vector<int32_t> result;
        for (int64_t h : tiling_.h.tap)
            for (int64_t w : tiling_.w.tap)
                for (int64_t c = 0; c < channels; c += step)
                    result.push_back(static_cast<int32_t>(c * tiling_.plane + (h * tiling_.w.size() + w) * tiling_.kernels.lanes));
        if (step > 1) result.resize(result.size() + 4);  // a row of N:M may end in the middle of a byte
        return result;
    }

    void enter(int64_t group, int64_t chunk, const float** pixels, float* planes) const {
        const int64_t first = group * filter_.in_per_group() + chunk * filter_.chunk();
        tiling_.kernels.enter(channels_of(chunk), tiling_.positions, pixels, first, tiling_.plane, planes);
    }

    // One chunk's part in the results of `segments` segments from `first` on; after the last chunk's they are written.
    void multiply(int64_t group, int64_t chunk, int64_t first, int64_t segments, const float* planes, float* sums,
                  const Epilogue& epilogue, float* const* pixels, bool stream) const {
        const int64_t out_group = filter_.out_c() / filter_.groups();
        const bool last = chunk + 1 == filter_.chunks();
        const SparseTable::Rows kernel = kernel_of(tiling_.tile, filter_.pattern());
        SparseRows rows{};
        rows.offsets = last ? last_groups_.data() : groups_.data();
        rows.groups = filter_.taps() * channels_of(chunk) / 4;
        rows.planes = planes;
        rows.plane = tiling_.plane;
        rows.line = tiling_.w.size() * tiling_.kernels.lanes;
        rows.accumulate = chunk > 0;
        for (int64_t segment = first; segment < first + segments; ++segment) {
            filter_.read(group, chunk, segment, rows);
            rows.sums = sums + (filter_.chunks() > 1 ? segment - first : 0) * sum_floats(1);
            kernel(rows);
            if (!last) continue;
            const int64_t k = group * out_group + segment * kSegment;
            Epilogue end = epilogue;
            if (end.bias) end.bias += k;
            tiling_.kernels.leave(std::min(kSegment, out_group - segment * kSegment), tiling_.vectors, rows.sums, end, k, pixels,
                                  stream);
        }
    }

    // Many tiles: a task takes a batch of them, and one chunk's planes stay in a near cache.
    void by_tiles(const Tiling& tiling, int64_t batch, const float* x, const Epilogue& epilogue, float* y) const {
        Workspace<const float*> inputs(static_cast<size_t>(tiling.plane));
        Workspace<float*> outputs(static_cast<size_t>(tiling.vectors * tiling.kernels.lanes));
        Workspace<float> planes(static_cast<size_t>(chunk_floats())), sums(static_cast<size_t>(sum_floats(filter_.segments())));
        const Conv2dShape& g = tiling.shape;
        const bool stream = g.groups == 1 && streams(y, g.out_c, g.batch * g.out_h * g.out_w * g.out_c);
        tiling.inputs(batch, x, zeros_.data(), inputs.data());
        tiling.outputs(batch, y, outputs.data());
        for (int64_t group = 0; group < filter_.groups(); ++group)
            for (int64_t chunk = 0; chunk < filter_.chunks(); ++chunk) {
                enter(group, chunk, inputs.data(), planes.data());
                multiply(group, chunk, 0, filter_.segments(), planes.data(), sums.data(), epilogue, outputs.data(), stream);
            }
    }

    // Few tiles: first the planes of all, then tasks take output channels of a batch.
    void by_channels(const Tiling& tiling, const float* x, const Epilogue& epilogue, float* y) const {
        const int64_t chunks = filter_.groups() * filter_.chunks();
        const int64_t parts = std::min(filter_.segments(), blocks(kTasks, tiling.batches * filter_.groups()));
        Workspace<const float*> inputs(static_cast<size_t>(tiling.batches * tiling.plane));
        Workspace<float> planes(static_cast<size_t>(tiling.batches * chunks * chunk_floats()));
        for (int64_t batch = 0; batch < tiling.batches; ++batch)
            tiling.inputs(batch, x, zeros_.data(), inputs.data() + batch * tiling.plane);
        parallel_for(tiling.batches * chunks, blocks(1 << 15, chunk_floats()), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
                enter(i % chunks / filter_.chunks(), i % filter_.chunks(), inputs.data() + i / chunks * tiling.plane,
                      planes.data() + i * chunk_floats());
        });
        parallel_tasks(tiling.batches * filter_.groups() * parts, [&](int64_t task) {
            const int64_t part = task % parts, group = task / parts % filter_.groups(), batch = task / parts / filter_.groups();
            const int64_t first = filter_.segments() * part / parts, segments = filter_.segments() * (part + 1) / parts - first;
            Workspace<float*> outputs(static_cast<size_t>(tiling.vectors * tiling.kernels.lanes));
            Workspace<float> sums(static_cast<size_t>(sum_floats(segments)));
            tiling.outputs(batch, y, outputs.data());
            for (int64_t chunk = 0; chunk < filter_.chunks(); ++chunk)
                multiply(group, chunk, first, segments,
                         planes.data() + (batch * chunks + group * filter_.chunks() + chunk) * chunk_floats(), sums.data(),
                         epilogue, outputs.data(), false);
        });
    }

    void forward(const Tiling& tiling, const float* x, const Epilogue& epilogue, float* y) const {
        if (tiling.cycles(filter_.pattern(), filter_.nonzeros()) < kSerialCycles)
            for (int64_t batch = 0; batch < tiling.batches; ++batch) by_tiles(tiling, batch, x, epilogue, y);
        else if (tiling.batches >= kTasks)
            parallel_tasks(tiling.batches, [&](int64_t batch) { by_tiles(tiling, batch, x, epilogue, y); });
        else
            by_channels(tiling, x, epilogue, y);
    }

    Conv2dShape shape_;
    Tiling tiling_;  // for the batch size that the filter was packed for; others take its tile, too
    SparseFilter filter_;
    std::vector<int32_t> groups_, last_groups_;  // offsets of N:M in a full chunk and in the last
    std::vector<float> zeros_;
};

}  // namespace

std::unique_ptr<Conv2dFilter> pack(const Conv2dShape& shape, const float* weight, SparsePattern pattern) {
    return std::make_unique<Filter>(shape, weight, pattern);
}

}  // namespace lathe::kernels::sparse
