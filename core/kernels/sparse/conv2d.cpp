#include "lathe/core/kernels/sparse/conv2d.h"

#include <algorithm>

#include "lathe/core/ceil_div.h"
#include "lathe/core/kernels/dispatch/streaming.h"
#include "lathe/core/kernels/sparse/prepared.h"
#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels::sparse {
namespace {

constexpr int64_t kTasks = 16;
constexpr double kSerialCycles = 40000;  // below it, waking a thread takes longer than the product

class SparseConv2d final : public PreparedConv2d {
public:
    SparseConv2d(const Conv2dShape& g, const float* weight, SparsePattern pattern)
        : shape_(g),
          weights_(lined_up(g), weight, pattern, kTransposing),
          zeros_(static_cast<size_t>(g.in_c)) {}

    void forward(int64_t batch, const float* x, const Epilogue& epilogue, float* y) const override {
        if (batch == 0) return;
        if (batch == shape_.batch) return forward(weights_.tiling, x, epilogue, y);
        Conv2dShape shape = shape_;
        shape.batch = batch;
        forward(Tiling(lined_up(shape), weights_.tiling.kernels, weights_.tiling.tile, weights_.tiling.chunk), x, epilogue, y);
    }
    int64_t bytes() const override { return weights_.filter.bytes(); }
    std::string name() const override { return std::string("sparse ") + name_of(weights_.filter.pattern()); }
    bool skips_zeros() const override { return true; }

private:
    void enter(int64_t group, int64_t chunk, const float** pixels, float* planes) const {
        const SparseFilter& filter = weights_.filter;
        const Tiling& tiling = weights_.tiling;
        const int64_t first = group * filter.in_per_group() + chunk * filter.chunk();
        tiling.kernels.enter(weights_.channels_of(chunk), tiling.positions, pixels, first, tiling.plane, planes);
    }

    // One chunk's part in the results of `segments` segments from `first` on; after the last chunk's they are written.
    void multiply(int64_t group, int64_t chunk, int64_t first, int64_t segments, const float* planes, float* sums,
                  const Epilogue& epilogue, float* const* pixels, bool stream) const {
        const SparseFilter& filter = weights_.filter;
        const Tiling& tiling = weights_.tiling;
        const bool last = chunk + 1 == filter.chunks();
        const SparseTable::Rows kernel = kernel_of(tiling.tile, filter.pattern());
        SparseRows rows = weights_.rows(chunk, planes);
        for (int64_t segment = first; segment < first + segments; ++segment) {
            filter.read(group, chunk, segment, rows);
            rows.sums = sums + (filter.chunks() > 1 ? segment - first : 0) * weights_.sum_floats(1);
            kernel(rows);
            if (!last) continue;
            const int64_t k = group * (filter.out_c() / filter.groups()) + segment * SparseFilter::kSegment;
            Epilogue end = epilogue;
            if (end.bias) end.bias += k;
            tiling.kernels.leave(weights_.outputs(segment), tiling.vectors, rows.sums, tiling.vectors * tiling.kernels.lanes, end, k,
                                 pixels, stream);
        }
    }

    // Many tiles: a task takes a batch of them, and one chunk's planes stay in a near cache.
    void by_tiles(const Tiling& tiling, int64_t batch, const float* x, const Epilogue& epilogue, float* y) const {
        Workspace<const float*> inputs(static_cast<size_t>(tiling.plane));
        Workspace<float*> outputs(static_cast<size_t>(tiling.vectors * tiling.kernels.lanes));
        Workspace<float> planes(static_cast<size_t>(weights_.chunk_floats()));
        Workspace<float> sums(static_cast<size_t>(weights_.sum_floats(weights_.filter.segments())));
        const Conv2dShape& g = tiling.shape;
        const bool stream = g.groups == 1 && streams(y, g.out_c, g.batch * g.out_h * g.out_w * g.out_c);
        tiling.inputs(batch, x, zeros_.data(), inputs.data());
        tiling.outputs(batch, y, outputs.data());
        for (int64_t group = 0; group < weights_.filter.groups(); ++group)
            for (int64_t chunk = 0; chunk < weights_.filter.chunks(); ++chunk) {
                enter(group, chunk, inputs.data(), planes.data());
                multiply(group, chunk, 0, weights_.filter.segments(), planes.data(), sums.data(), epilogue, outputs.data(), stream);
            }
    }

    // Few tiles: first the planes of all, then tasks take output channels of a batch.
    void by_channels(const Tiling& tiling, const float* x, const Epilogue& epilogue, float* y) const {
        const int64_t chunks = weights_.filter.groups() * weights_.filter.chunks();
        const int64_t parts = std::min(weights_.filter.segments(), ceil_div(kTasks, tiling.batches * weights_.filter.groups()));
        Workspace<const float*> inputs(static_cast<size_t>(tiling.batches * tiling.plane));
        Workspace<float> planes(static_cast<size_t>(tiling.batches * chunks * weights_.chunk_floats()));
        for (int64_t batch = 0; batch < tiling.batches; ++batch)
            tiling.inputs(batch, x, zeros_.data(), inputs.data() + batch * tiling.plane);
        parallel_for(tiling.batches * chunks, ceil_div(1 << 15, weights_.chunk_floats()), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
                enter(i % chunks / weights_.filter.chunks(), i % weights_.filter.chunks(), inputs.data() + i / chunks * tiling.plane,
                      planes.data() + i * weights_.chunk_floats());
        });
        parallel_tasks(tiling.batches * weights_.filter.groups() * parts, [&](int64_t task) {
            const int64_t groups = weights_.filter.groups(), all = weights_.filter.segments();
            const int64_t part = task % parts, group = task / parts % groups, batch = task / parts / groups;
            const int64_t first = all * part / parts, segments = all * (part + 1) / parts - first;
            Workspace<float*> outputs(static_cast<size_t>(tiling.vectors * tiling.kernels.lanes));
            Workspace<float> sums(static_cast<size_t>(weights_.sum_floats(segments)));
            tiling.outputs(batch, y, outputs.data());
            for (int64_t chunk = 0; chunk < weights_.filter.chunks(); ++chunk)
                multiply(group, chunk, first, segments,
                         planes.data() + (batch * chunks + group * weights_.filter.chunks() + chunk) * weights_.chunk_floats(), sums.data(),
                         epilogue, outputs.data(), false);
        });
    }

    void forward(const Tiling& tiling, const float* x, const Epilogue& epilogue, float* y) const {
        if (tiling.cycles(weights_.filter.pattern(), weights_.filter.nonzeros(), kTransposing) < kSerialCycles)
            for (int64_t batch = 0; batch < tiling.batches; ++batch) by_tiles(tiling, batch, x, epilogue, y);
        else if (tiling.batches >= kTasks)
            parallel_tasks(tiling.batches, [&](int64_t batch) { by_tiles(tiling, batch, x, epilogue, y); });
        else
            by_channels(tiling, x, epilogue, y);
    }

    Conv2dShape shape_;
    PreparedWeights weights_;  // for the batch size of the shape; others take its tile, too
    std::vector<float> zeros_;
};

}  // namespace

std::unique_ptr<PreparedConv2d> prepare(const Conv2dShape& shape, const float* weight, SparsePattern pattern) {
    return std::make_unique<SparseConv2d>(shape, weight, pattern);
}

}  // namespace lathe::kernels::sparse
