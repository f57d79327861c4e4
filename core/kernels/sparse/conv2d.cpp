#include "lathe/core/kernels/sparse/conv2d.h"

#include <algorithm>

#include "lathe/core/ceil_div.h"
#include "lathe/core/divmod.h"
#include "lathe/core/kernels/dispatch/streaming.h"
#include "lathe/core/kernels/sparse/prepared.h"
#include "lathe/core/kernels/sparse/speed.h"
#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels::sparse {
namespace {

constexpr int64_t kTasks = 16;

class SparseConv2d final : public PreparedConv2d {
public:
    SparseConv2d(const Conv2dShape& g, const float* weight, SparsePattern pattern)
        : shape_(g),
          weights_(lined_up(g), weight, pattern, speed().sparse.transpose),
          zeros_(static_cast<size_t>(g.in_c)) {}

    void forward(int64_t batch, const float* x, const Epilogue& epilogue, float* y) const override {
        if (batch == 0) return;
        if (batch == shape_.batch) return forward(weights_.tiling, x, epilogue, y);
        Conv2dShape shape = shape_;
        shape.batch = batch;
        const Tiling& like = weights_.tiling;
        forward(Tiling(lined_up(shape), like.lanes, like.tile, like.chunk), x, epilogue, y);
    }
    int64_t bytes() const override { return weights_.filter.bytes(); }
    std::string name() const override { return std::string("sparse ") + name_of(weights_.filter.pattern()); }
    bool skips_zeros() const override { return true; }

private:
    void enter(int64_t group, int64_t chunk, const float** pixels, float* planes) const {
        const SparseFilter& filter = weights_.filter;
        const Tiling& tiling = weights_.tiling;
        const int64_t first = group * filter.in_per_group() + chunk * filter.chunk();
        weights_.kernels.enter(weights_.channels_of(chunk), tiling.positions, pixels, first, tiling.plane, planes);
    }

    // One chunk's part in the results of `segments` segments from `first` on; after the last chunk's they are written.
    void multiply(int64_t group, int64_t chunk, int64_t first, int64_t segments, const float* planes, float* sums,
                  const Epilogue& epilogue, float* const* pixels, bool stream) const {
        const SparseFilter& filter = weights_.filter;
        const Tiling& tiling = weights_.tiling;
        const bool last = chunk + 1 == filter.chunks();
        const SparseTable::Rows kernel = kernel_of(weights_.kernels, tiling.tile, filter.pattern());
        SparseRows rows = weights_.rows(chunk, planes);
        for (int64_t segment = first; segment < first + segments; ++segment) {
            filter.read(group, chunk, segment, rows);
            rows.sums = sums + (filter.chunks() > 1 ? segment - first : 0) * weights_.sum_floats(1);
            kernel(rows);
            if (!last) continue;
            const int64_t k = group * (filter.out_c() / filter.groups()) + segment * SparseFilter::kSegment;
            Epilogue end = epilogue;
            if (end.bias) end.bias += k;
            weights_.kernels.leave(weights_.outputs(segment), tiling.vectors, rows.sums, tiling.vectors * tiling.lanes,
                                   end, k, pixels, stream);
        }
    }

    // Many tiles: a task takes a batch of them, and one chunk's planes stay in a near cache.
    void by_tiles(const Tiling& tiling, int64_t batch, const float* x, const Epilogue& epilogue, float* y) const {
        Workspace<const float*> inputs(static_cast<size_t>(tiling.plane));  // [positions, lanes]: pixels
        Workspace<float*> outputs(static_cast<size_t>(tiling.vectors * tiling.lanes));
        Workspace<float> planes(static_cast<size_t>(weights_.chunk_floats()));  // [channels, positions, lanes]
        // [segments, 16 outputs, vectors, lanes]
        Workspace<float> sums(static_cast<size_t>(weights_.sum_floats(weights_.filter.segments())));
        const Conv2dShape& g = tiling.shape;
        const bool stream = g.groups == 1 && streams(y, g.out_c, g.batch * g.out_h * g.out_w * g.out_c);
        tiling.inputs(batch, x, zeros_.data(), inputs.data());
        tiling.outputs(batch, y, outputs.data());
        for (int64_t group = 0; group < weights_.filter.groups(); ++group)
            for (int64_t chunk = 0; chunk < weights_.filter.chunks(); ++chunk) {
                enter(group, chunk, inputs.data(), planes.data());
                multiply(group, chunk, 0, weights_.filter.segments(), planes.data(), sums.data(), epilogue,
                         outputs.data(), stream);
            }
    }

    // Few tiles: first the planes of all, then tasks take output channels of a batch.
    void by_channels(const Tiling& tiling, const float* x, const Epilogue& epilogue, float* y) const {
        const int64_t groups = weights_.filter.groups(), group_chunks = weights_.filter.chunks();
        const int64_t chunks = groups * group_chunks, chunk_floats = weights_.chunk_floats();  // of a batch; of each
        const int64_t segments = weights_.filter.segments(),
                      parts = std::min(segments, ceil_div(kTasks, tiling.batches * groups));
        Workspace<const float*> inputs(static_cast<size_t>(tiling.batches * tiling.plane));
        // [batches, groups, chunks, channels, positions, lanes]
        Workspace<float> planes(static_cast<size_t>(tiling.batches * chunks * chunk_floats));
        for (int64_t batch = 0; batch < tiling.batches; ++batch)
            tiling.inputs(batch, x, zeros_.data(), inputs.data() + batch * tiling.plane);
        parallel_for(tiling.batches * chunks, ceil_div(1 << 15, chunk_floats), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                const auto [batch, group_chunk] = divmod(i, chunks);
                const auto [group, chunk] = divmod(group_chunk, group_chunks);
                enter(group, chunk, inputs.data() + batch * tiling.plane, planes.data() + i * chunk_floats);
            }
        });
        parallel_tasks(tiling.batches * groups * parts, [&](int64_t task) {
            const auto [batch_group, part] = divmod(task, parts);
            const auto [batch, group] = divmod(batch_group, groups);
            const int64_t first = segments * part / parts, count = segments * (part + 1) / parts - first;
            Workspace<float*> outputs(static_cast<size_t>(tiling.vectors * tiling.lanes));
            Workspace<float> sums(static_cast<size_t>(weights_.sum_floats(count)));
            tiling.outputs(batch, y, outputs.data());
            const float* plane = planes.data() + batch_group * group_chunks * chunk_floats;
            for (int64_t chunk = 0; chunk < group_chunks; ++chunk, plane += chunk_floats)
                multiply(group, chunk, first, count, plane, sums.data(), epilogue, outputs.data(), false);
        });
    }

    void forward(const Tiling& tiling, const float* x, const Epilogue& epilogue, float* y) const {
        const SparseCosts& costs = speed().sparse;
        if (tiling.cycles(costs, weights_.filter.pattern(), weights_.filter.nonzeros(), costs.transpose) < costs.region)
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
