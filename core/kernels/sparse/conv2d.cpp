#include "lathe/core/kernels/sparse/conv2d.h"

#include <algorithm>

#include "lathe/core/kernels/gemm/panel.h"
#include "lathe/core/kernels/sparse/packed.h"
#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels::sparse {
namespace {

constexpr int64_t kTasks = 16;
constexpr double kSerialCycles = 40000;  // below it, waking a thread takes longer than the product

class Filter final : public Conv2dFilter {
public:
    Filter(const Conv2dShape& g, const float* weight, SparsePattern pattern)
        : shape_(g),
          packed_(lined_up(g), weight, pattern, kTransposing),
          zeros_(static_cast<size_t>(g.in_c)) {}

    void forward(int64_t batch, const float* x, const Epilogue& epilogue, float* y) const override {
        if (batch == 0) return;
        if (batch == shape_.batch) return forward(packed_.tiling, x, epilogue, y);
        Conv2dShape shape = shape_;
        shape.batch = batch;
        forward(Tiling(lined_up(shape), packed_.tiling.kernels, packed_.tiling.tile, packed_.tiling.chunk), x, epilogue, y);
    }
    int64_t bytes() const override { return packed_.filter.bytes(); }

private:
    void enter(int64_t group, int64_t chunk, const float** pixels, float* planes) const {
        const SparseFilter& filter = packed_.filter;
        const Tiling& tiling = packed_.tiling;
        const int64_t first = group * filter.in_per_group() + chunk * filter.chunk();
        tiling.kernels.enter(packed_.channels_of(chunk), tiling.positions, pixels, first, tiling.plane, planes);
    }

    // One chunk's part in the results of `segments` segments from `first` on; after the last chunk's they are written.
    void multiply(int64_t group, int64_t chunk, int64_t first, int64_t segments, const float* planes, float* sums,
                  const Epilogue& epilogue, float* const* pixels, bool stream) const {
        const SparseFilter& filter = packed_.filter;
        const Tiling& tiling = packed_.tiling;
        const bool last = chunk + 1 == filter.chunks();
        const SparseTable::Rows kernel = kernel_of(tiling.tile, filter.pattern());
        SparseRows rows = packed_.rows(chunk, planes);
        for (int64_t segment = first; segment < first + segments; ++segment) {
            filter.read(group, chunk, segment, rows);
            rows.sums = sums + (filter.chunks() > 1 ? segment - first : 0) * packed_.sum_floats(1);
            kernel(rows);
            if (!last) continue;
            const int64_t k = group * (filter.out_c() / filter.groups()) + segment * SparseFilter::kSegment;
            Epilogue end = epilogue;
            if (end.bias) end.bias += k;
            tiling.kernels.leave(packed_.outputs(segment), tiling.vectors, rows.sums, tiling.vectors * tiling.kernels.lanes, end, k,
                                 pixels, stream);
        }
    }

    // Many tiles: a task takes a batch of them, and one chunk's planes stay in a near cache.
    void by_tiles(const Tiling& tiling, int64_t batch, const float* x, const Epilogue& epilogue, float* y) const {
        Workspace<const float*> inputs(static_cast<size_t>(tiling.plane));
        Workspace<float*> outputs(static_cast<size_t>(tiling.vectors * tiling.kernels.lanes));
        Workspace<float> planes(static_cast<size_t>(packed_.chunk_floats()));
        Workspace<float> sums(static_cast<size_t>(packed_.sum_floats(packed_.filter.segments())));
        const Conv2dShape& g = tiling.shape;
        const bool stream = g.groups == 1 && streams(y, g.out_c, g.batch * g.out_h * g.out_w * g.out_c);
        tiling.inputs(batch, x, zeros_.data(), inputs.data());
        tiling.outputs(batch, y, outputs.data());
        for (int64_t group = 0; group < packed_.filter.groups(); ++group)
            for (int64_t chunk = 0; chunk < packed_.filter.chunks(); ++chunk) {
                enter(group, chunk, inputs.data(), planes.data());
                multiply(group, chunk, 0, packed_.filter.segments(), planes.data(), sums.data(), epilogue, outputs.data(), stream);
            }
    }

    // Few tiles: first the planes of all, then tasks take output channels of a batch.
    void by_channels(const Tiling& tiling, const float* x, const Epilogue& epilogue, float* y) const {
        const int64_t chunks = packed_.filter.groups() * packed_.filter.chunks();
        const int64_t parts = std::min(packed_.filter.segments(), blocks(kTasks, tiling.batches * packed_.filter.groups()));
        Workspace<const float*> inputs(static_cast<size_t>(tiling.batches * tiling.plane));
        Workspace<float> planes(static_cast<size_t>(tiling.batches * chunks * packed_.chunk_floats()));
        for (int64_t batch = 0; batch < tiling.batches; ++batch)
            tiling.inputs(batch, x, zeros_.data(), inputs.data() + batch * tiling.plane);
        parallel_for(tiling.batches * chunks, blocks(1 << 15, packed_.chunk_floats()), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
                enter(i % chunks / packed_.filter.chunks(), i % packed_.filter.chunks(), inputs.data() + i / chunks * tiling.plane,
                      planes.data() + i * packed_.chunk_floats());
        });
        parallel_tasks(tiling.batches * packed_.filter.groups() * parts, [&](int64_t task) {
            const int64_t groups = packed_.filter.groups(), all = packed_.filter.segments();
            const int64_t part = task % parts, group = task / parts % groups, batch = task / parts / groups;
            const int64_t first = all * part / parts, segments = all * (part + 1) / parts - first;
            Workspace<float*> outputs(static_cast<size_t>(tiling.vectors * tiling.kernels.lanes));
            Workspace<float> sums(static_cast<size_t>(packed_.sum_floats(segments)));
            tiling.outputs(batch, y, outputs.data());
            for (int64_t chunk = 0; chunk < packed_.filter.chunks(); ++chunk)
                multiply(group, chunk, first, segments,
                         planes.data() + (batch * chunks + group * packed_.filter.chunks() + chunk) * packed_.chunk_floats(), sums.data(),
                         epilogue, outputs.data(), false);
        });
    }

    void forward(const Tiling& tiling, const float* x, const Epilogue& epilogue, float* y) const {
        if (tiling.cycles(packed_.filter.pattern(), packed_.filter.nonzeros(), kTransposing) < kSerialCycles)
            for (int64_t batch = 0; batch < tiling.batches; ++batch) by_tiles(tiling, batch, x, epilogue, y);
        else if (tiling.batches >= kTasks)
            parallel_tasks(tiling.batches, [&](int64_t batch) { by_tiles(tiling, batch, x, epilogue, y); });
        else
            by_channels(tiling, x, epilogue, y);
    }

    Conv2dShape shape_;
    Packed packed_;  // for the batch size of the shape; others take its tile, too
    std::vector<float> zeros_;
};

}  // namespace

std::unique_ptr<Conv2dFilter> pack(const Conv2dShape& shape, const float* weight, SparsePattern pattern) {
    return std::make_unique<Filter>(shape, weight, pattern);
}

}  // namespace lathe::kernels::sparse
