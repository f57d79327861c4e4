#pragma once
#include <vector>

#include "lathe/core/kernels/integer/table.h"
#include "lathe/core/kernels/sparse/tiling.h"

namespace lathe::kernels::integer {

struct Layer;

// The weights of a layer of which many are zero, arranged once: kernels/sparse/conv2d.h with quads (SparseRows) instead
// of floats. A dot product of bytes takes four neighbouring channels at once; at 90% zeros a third of the quads is
// left, fewer than there are weights. Planes are a quarter as large as those of floats, and sums are exact.
class SparseLayer {
public:
    // Whether enough of the weights are zero for an estimate to be worth it, and the geometry is one for quads.
    static bool suits(const Layer& layer);
    // For batches of about as many images as the shape says; others take its tile, too. Copies what it needs.
    explicit SparseLayer(const Layer& layer);

    double cycles(int64_t batch) const;  // an estimate of what forward() takes (kernels/sparse/speed.h)
    double done() const;                 // the share of the layer's multiply-adds that it does
    int64_t bytes() const;               // that the arranged weights take

    // PreparedLayer's forward. finish: of channel 0; those of a group begin at a whole vector. What tasks need beside
    // comes from their threads' stacks (Workspace).
    void forward(const Table& table, int64_t batch, const uint8_t* x, const uint8_t* addend, const Finish& finish,
                 uint8_t* y) const;

private:
    struct Call;
    void arrange(const Layer& layer);
    void append_row(const int8_t* weight, int64_t first, int64_t last, int bits);
    sparse::Tiling tiling_for(int64_t batch) const;
    void multiply(const Call& call, int64_t tile, int64_t first, int64_t segments) const;

    Conv2dShape shape_;  // with quads of input channels in place of channels
    int64_t quads_;      // that are stored
    sparse::Tiling tiling_;
    int64_t chunks_, segments_;  // in a group
    std::vector<int8_t> weights_;
    std::vector<int32_t> offsets_;
    std::vector<uint16_t> counts_;   // [groups, chunks, segments, 16]
    std::vector<uint32_t> starts_;   // of every part in the offsets: [groups, chunks, segments]
    std::vector<uint8_t> outside_;   // a pixel of zeros
};

}  // namespace lathe::kernels::integer
