#include "lathe/core/kernels/integer/sparse.h"

#include <algorithm>
#include <optional>

#include "lathe/core/ceil_div.h"
#include "lathe/core/divmod.h"
#include "lathe/core/kernels/integer/conv2d.h"
#include "lathe/core/kernels/sparse/prepared.h"
#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels::integer {

namespace {

constexpr int64_t kTasks = 4;
constexpr int64_t kSegment = 16;  // as a vector's lanes, for results leave transposed

Conv2dShape in_quads(const Conv2dShape& g) {
    Conv2dShape shape = g;
    shape.in_c /= 4;
    return shape;
}

bool is_zero(const int8_t* quad) { return std::all_of(quad, quad + 4, [](int8_t w) { return w == 0; }); }

int64_t quads_of(const Layer& layer) {
    int64_t count = 0;
    for (int64_t i = 0; i < layer.shape.weight_count(); i += 4) count += !is_zero(layer.weight + i);
    return count;
}

sparse::SparseCosts costs() {
    sparse::SparseCosts cost = sparse::speed().sparse;
    cost.operation = sparse::speed().integer.quad;
    return cost;
}

// The numbers from a channel on.
Finish from(const Finish& all, int64_t channel) {
    Finish finish = all;
    for (const int32_t** numbers : {&finish.bias, &finish.fraction, &finish.multiplier, &finish.shift,
                                    &finish.weight_sum, &finish.addend_multiplier, &finish.addend_shift})
        if (*numbers) *numbers += channel;
    return finish;
}

}  // namespace

bool SparseLayer::suits(const Layer& layer) {
    const Conv2dShape& g = layer.shape;
    const bool counted = g.kernel_h * g.kernel_w * kLanes <= UINT16_MAX;  // a row's quads in the smallest chunk
    // Beyond these a tile's planes are mostly pixels that no tap reads.
    constexpr int64_t kMostStride = 16, kMostDilation = 64;
    if (std::max(g.stride_h, g.stride_w) > kMostStride || std::max(g.dilation_h, g.dilation_w) > kMostDilation ||
        std::max(g.kernel_h, g.kernel_w) > kMostDilation)
        return false;
    return g.in_c / g.groups % 4 == 0 && counted &&
           4 * static_cast<double>(quads_of(layer)) <=
               (1 - sparse::kLeastSparsity) * static_cast<double>(g.weight_count());
}

SparseLayer::SparseLayer(const Layer& layer)
    : shape_(in_quads(layer.shape)),
      quads_(quads_of(layer)),
      tiling_(sparse::best_tiling(sparse::lined_up(shape_), kLanes, kSparseTiles, kLanes, costs(),
                                  SparsePattern::unstructured, quads_, sparse::speed().integer.moving)),
      chunks_(ceil_div(shape_.in_c / shape_.groups, tiling_.chunk)),
      segments_(ceil_div(shape_.out_c / shape_.groups, kSegment)),
      outside_(static_cast<size_t>(layer.shape.in_c), static_cast<uint8_t>(layer.x_zero)) {
    arrange(layer);
}

void SparseLayer::arrange(const Layer& layer) {
    const int64_t quads = shape_.in_c / shape_.groups, outputs = shape_.out_c / shape_.groups;
    const int64_t row_weights = shape_.kernel_h * shape_.kernel_w * quads * 4;
    for (int64_t group = 0; group < shape_.groups; ++group)
        for (int64_t first = 0; first < quads; first += tiling_.chunk)
            for (int64_t segment = 0; segment < segments_; ++segment) {
                starts_.push_back(static_cast<uint32_t>(offsets_.size()));
                for (int64_t k = segment * kSegment; k < (segment + 1) * kSegment; ++k) {
                    const size_t before = offsets_.size();
                    if (k < outputs)
                        append_row(layer.weight + (group * outputs + k) * row_weights, first,
                                   std::min(quads, first + tiling_.chunk), layer.bits);
                    counts_.push_back(static_cast<uint16_t>(offsets_.size() - before));
                }
            }
    offsets_.resize(offsets_.size() + 2);  // kernels look ahead
}

// The quads from `first` to `last` of an output channel, at the top of bytes as the dense kernels have them.
void SparseLayer::append_row(const int8_t* weight, int64_t first, int64_t last, int bits) {
    for (int64_t h : tiling_.h.tap)
        for (int64_t w : tiling_.w.tap) {
            for (int64_t q = first; q < last; ++q) {
                if (is_zero(weight + 4 * q)) continue;
                const int64_t position = (q - first) * tiling_.positions + h * tiling_.w.size() + w;
                offsets_.push_back(static_cast<int32_t>(position * kLanes * 4));
                for (int i = 0; i < 4; ++i)
                    weights_.push_back(static_cast<int8_t>(weight[4 * q + i] * (1 << (8 - bits))));
            }
            weight += 4 * (shape_.in_c / shape_.groups);
        }
}

sparse::Tiling SparseLayer::tiling_for(int64_t batch) const {
    Conv2dShape shape = shape_;
    shape.batch = batch;
    return sparse::Tiling(sparse::lined_up(shape), tiling_.lanes, tiling_.tile, tiling_.chunk);
}

double SparseLayer::cycles(int64_t batch) const {
    return tiling_for(batch).cycles(costs(), SparsePattern::unstructured, quads_, sparse::speed().integer.moving);
}

double SparseLayer::done() const { return static_cast<double>(quads_) / static_cast<double>(shape_.weight_count()); }

int64_t SparseLayer::bytes() const {
    return static_cast<int64_t>(weights_.size() + 4 * (offsets_.size() + starts_.size()) + 2 * counts_.size());
}

struct SparseLayer::Call {
    const Table& table;
    const sparse::Tiling& tiling;
    const uint8_t *x, *addend;
    const Finish& finish;
    uint8_t* y;
};

// A task takes a batch of tiles and some of the output channels. Tasks of the same tiles each make their planes.
void SparseLayer::forward(const Table& table, int64_t batch, const uint8_t* x, const uint8_t* addend,
                          const Finish& finish, uint8_t* y) const {
    std::optional<sparse::Tiling> other;
    const sparse::Tiling& tiling = batch == shape_.batch ? tiling_ : other.emplace(tiling_for(batch));
    const Call call{table, tiling, x, addend, finish, y};
    const int64_t parts = std::min(segments_, ceil_div(kTasks, tiling.batches));
    parallel_tasks(tiling.batches * parts, [&](int64_t task) {
        const auto [tile, part] = divmod(task, parts);
        const int64_t first = segments_ * part / parts;
        multiply(call, tile, first, segments_ * (part + 1) / parts - first);
    });
}

void SparseLayer::multiply(const Call& call, int64_t tile, int64_t first, int64_t segments) const {
    const sparse::Tiling& tiling = call.tiling;
    const Sparse& kernels = call.table.sparse;
    const int64_t quads = shape_.in_c / shape_.groups, outputs = shape_.out_c / shape_.groups;
    const int64_t plane = tiling.positions * kLanes * 4, results = tiling.vectors * kLanes;
    Workspace<const uint32_t*> pixels(static_cast<size_t>(tiling.plane));
    Workspace<uint8_t*> to(static_cast<size_t>(results));
    Workspace<const uint8_t*> addends(static_cast<size_t>(call.addend ? results : 0));
    Workspace<uint8_t> planes(static_cast<size_t>(tiling.chunk * plane));
    Workspace<int32_t> sums(static_cast<size_t>((chunks_ > 1 ? segments : 1) * kSegment * results));
    tiling.inputs(tile, reinterpret_cast<const uint32_t*>(call.x), reinterpret_cast<const uint32_t*>(outside_.data()),
                  pixels.data());
    tiling.outputs(tile, call.y, to.data());
    if (call.addend) tiling.outputs(tile, call.addend, addends.data());
    for (int64_t group = 0; group < shape_.groups; ++group)
        for (int64_t chunk = 0; chunk < chunks_; ++chunk) {
            const int64_t begin = chunk * tiling.chunk;
            kernels.enter(std::min(tiling.chunk, quads - begin), tiling.positions, pixels.data(),
                          group * quads + begin, plane, planes.data());
            for (int64_t segment = first; segment < first + segments; ++segment) {
                const int64_t part = (group * chunks_ + chunk) * segments_ + segment, k = segment * kSegment;
                const uint32_t start = starts_[static_cast<size_t>(part)];
                const SparseRows rows{.tile = tiling.tile,
                                      .rows = std::min(kSegment, outputs - k),
                                      .counts = counts_.data() + part * kSegment,
                                      .offsets = offsets_.data() + start,
                                      .weights = weights_.data() + 4 * static_cast<size_t>(start),
                                      .planes = planes.data(),
                                      .line = tiling.w.size() * kLanes * 4,
                                      .sums = sums.data() + (chunks_ > 1 ? segment - first : 0) * kSegment * results,
                                      .accumulate = chunk > 0};
                kernels.rows(rows);
                if (chunk + 1 < chunks_) continue;
                kernels.leave({.rows = rows.rows, .vectors = tiling.vectors, .channel = group * outputs + k,
                               .sums = rows.sums, .y = to.data(), .addend = addends.data(),
                               .finish = from(call.finish, (group * segments_ + segment) * kSegment)});
            }
        }
}

}  // namespace lathe::kernels::integer
