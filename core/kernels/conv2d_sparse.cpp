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

// A convolution of one batch size.
struct Plan {
    const SparseFilter& filter;
    Tiling tiling;
    bool n_of_four;
    std::vector<int32_t> offsets;
    std::vector<float> zeros;
    bool serial;

    Plan(const Conv2dShape& shape, const SparseFilter& filter)
        : filter(filter),
          tiling(best_tiling(shape, filter)),
          n_of_four(filter.pattern() == SparsePattern::one_of_four || filter.pattern() == SparsePattern::two_of_four),
          zeros(static_cast<size_t>(shape.in_c)),
          serial(tiling.cycles(filter) < kSerialCycles) {
        add_offsets(filter.chunk());
        if (n_of_four) add_offsets(channels_of(filter.chunks() - 1));
        offsets.resize(offsets.size() + 4);  // a row of N:M may end in the middle of a byte
    }

    int64_t channels_of(int64_t chunk) const { return std::min(filter.chunk(), filter.in_per_group() - chunk * filter.chunk()); }
    int64_t chunk_floats() const { return filter.chunk() * tiling.plane; }
    int64_t sum_floats(int64_t segments) const {
        return (filter.chunks() > 1 ? segments : 1) * kSegment * tiling.vectors * tiling.kernels.lanes;
    }

    // The offset of every index in the planes of a chunk; with N:M that of every group of 4 channels, of a full chunk and then
    // of the last one.
    void add_offsets(int64_t channels) {
        for (int64_t h : tiling.h.tap)
            for (int64_t w : tiling.w.tap)
                for (int64_t c = 0; c < channels; c += n_of_four ? 4 : 1)
                    offsets.push_back(static_cast<int32_t>(c * tiling.plane + (h * tiling.w.size() + w) * tiling.kernels.lanes));
    }

    void enter(int64_t group, int64_t chunk, const float** pixels, float* planes) const {
        const int64_t first = group * filter.in_per_group() + chunk * filter.chunk();
        tiling.kernels.enter(channels_of(chunk), tiling.positions, pixels, first, tiling.plane, planes);
    }

    // One chunk's part in the results of `segments` segments from `first` on; after the last chunk's they are written.
    void multiply(int64_t group, int64_t chunk, int64_t first, int64_t segments, const float* planes, float* sums,
                  const Epilogue& epilogue, float* const* pixels) const {
        const int64_t out_group = filter.out_c() / filter.groups();
        const bool last = chunk + 1 == filter.chunks();
        const SparseTable::Rows kernel = kernel_of(tiling.tile, filter.pattern());
        SparseRows rows{};
        rows.offsets = offsets.data();
        if (n_of_four) {
            rows.groups = filter.taps() * channels_of(chunk) / 4;
            if (last) rows.offsets += filter.taps() * filter.chunk() / 4;
        }
        rows.planes = planes;
        rows.plane = tiling.plane;
        rows.line = tiling.w.size() * tiling.kernels.lanes;
        rows.accumulate = chunk > 0;
        for (int64_t segment = first; segment < first + segments; ++segment) {
            filter.read(group, chunk, segment, rows);
            rows.sums = sums + (filter.chunks() > 1 ? segment - first : 0) * sum_floats(1);
            kernel(rows);
            if (!last) continue;
            const int64_t k = group * out_group + segment * kSegment;
            Epilogue end = epilogue;
            if (end.bias) end.bias += k;
            tiling.kernels.leave(std::min(kSegment, out_group - segment * kSegment), tiling.vectors, rows.sums, end, k, pixels);
        }
    }

    // Many tiles: a task takes a batch of them, and one chunk's planes stay in a near cache.
    void by_tiles(int64_t batch, const float* x, const Epilogue& epilogue, float* y) const {
        Workspace<const float*> inputs(static_cast<size_t>(tiling.plane));
        Workspace<float*> outputs(static_cast<size_t>(tiling.vectors * tiling.kernels.lanes));
        Workspace<float> planes(static_cast<size_t>(chunk_floats())), sums(static_cast<size_t>(sum_floats(filter.segments())));
        tiling.inputs(batch, x, zeros.data(), inputs.data());
        tiling.outputs(batch, y, outputs.data());
        for (int64_t group = 0; group < filter.groups(); ++group)
            for (int64_t chunk = 0; chunk < filter.chunks(); ++chunk) {
                enter(group, chunk, inputs.data(), planes.data());
                multiply(group, chunk, 0, filter.segments(), planes.data(), sums.data(), epilogue, outputs.data());
            }
    }

    // Few tiles: first the planes of all, then tasks take output channels of a batch.
    void by_channels(const float* x, const Epilogue& epilogue, float* y) const {
        const int64_t chunks = filter.groups() * filter.chunks();
        const int64_t parts = std::min(filter.segments(), blocks(kTasks, tiling.batches * filter.groups()));
        Workspace<const float*> inputs(static_cast<size_t>(tiling.batches * tiling.plane));
        Workspace<float> planes(static_cast<size_t>(tiling.batches * chunks * chunk_floats()));
        for (int64_t batch = 0; batch < tiling.batches; ++batch)
            tiling.inputs(batch, x, zeros.data(), inputs.data() + batch * tiling.plane);
        parallel_for(tiling.batches * chunks, blocks(1 << 15, chunk_floats()), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
                enter(i % chunks / filter.chunks(), i % filter.chunks(), inputs.data() + i / chunks * tiling.plane,
                      planes.data() + i * chunk_floats());
        });
        parallel_tasks(tiling.batches * filter.groups() * parts, [&](int64_t task) {
            const int64_t part = task % parts, group = task / parts % filter.groups(), batch = task / parts / filter.groups();
            const int64_t first = filter.segments() * part / parts, segments = filter.segments() * (part + 1) / parts - first;
            Workspace<float*> outputs(static_cast<size_t>(tiling.vectors * tiling.kernels.lanes));
            Workspace<float> sums(static_cast<size_t>(sum_floats(segments)));
            tiling.outputs(batch, y, outputs.data());
            for (int64_t chunk = 0; chunk < filter.chunks(); ++chunk)
                multiply(group, chunk, first, segments, planes.data() + (batch * chunks + group * filter.chunks() + chunk) * chunk_floats(),
                         sums.data(), epilogue, outputs.data());
        });
    }

    void forward(const float* x, const Epilogue& epilogue, float* y) const {
        if (serial)
            for (int64_t batch = 0; batch < tiling.batches; ++batch) by_tiles(batch, x, epilogue, y);
        else if (tiling.batches >= kTasks)
            parallel_tasks(tiling.batches, [&](int64_t batch) { by_tiles(batch, x, epilogue, y); });
        else
            by_channels(x, epilogue, y);
    }
};

class Filter final : public Conv2dFilter {
public:
    Filter(const Conv2dShape& g, const float* weight, SparsePattern pattern)
        : shape_(g),
          filter_(pattern, g.out_c, g.kernel_h * g.kernel_w, g.in_c / g.groups, g.groups, weight),
          usual_(flattened(g, g.batch), filter_) {}

    void forward(int64_t batch, const float* x, const Epilogue& epilogue, float* y) const override {
        if (batch == shape_.batch) return usual_.forward(x, epilogue, y);
        if (batch > 0) Plan(flattened(shape_, batch), filter_).forward(x, epilogue, y);
    }
    int64_t bytes() const override { return filter_.bytes(); }

private:
    Conv2dShape shape_;
    SparseFilter filter_;
    Plan usual_;  // for the batch size that the filter was packed for
};

}  // namespace

std::unique_ptr<Conv2dFilter> pack(const Conv2dShape& shape, const float* weight, SparsePattern pattern) {
    return std::make_unique<Filter>(shape, weight, pattern);
}

}  // namespace lathe::kernels::sparse
