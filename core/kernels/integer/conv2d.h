#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lathe/core/kernels/conv2d/shape.h"
#include "lathe/core/kernels/integer/sparse.h"
#include "lathe/core/memory.h"

namespace lathe::kernels::integer {

// What a layer computes, channel by channel, beside its geometry:
//   sum = sum of (x - x_zero) weight unit + bias
//   y   = saturate(round((sum multiplier + fraction + (addend - addend_zero) 2^addend_shift addend_multiplier)
//                        2^-shift) + zero, low, high)
// Everything that a result is made of is rounded once, in steps of 2^-shift: a bias that is no whole number of sums'
// steps leaves its fraction, and an addend is of a scale of its own. The unit of weights of few bits is 2^(8 - bits),
// as kernels have those weights at the top of bytes. Whatever x, sums and results fit into 32 bits and what is rounded
// into 62.
struct Layer {
    Conv2dShape shape;
    const int8_t* weight;       // [K, R, S, C/G]; with fewer bits in their range
    int bits = 8;               // that a weight takes, packed: 8, 4 or 2
    const int32_t* bias;        // [K]; without the zeros' part
    const int32_t* fraction;    // [K], at least 0
    const int32_t *multiplier, *shift;  // [K], at least 0, and 1..62
    const int32_t *addend_multiplier = nullptr, *addend_shift = nullptr;  // [K], at least 0, 0..22; null: no addend
    int32_t addend_zero = 0;
    int32_t x_zero = 0, zero = 0, low = 0, high = 255;

    int32_t unit() const { return 1 << (8 - bits); }
};

// What sums and results must stay below, so that a zero may be added.
constexpr double kMostSum = 2147483647.0 - 1024;
constexpr double kMostResult = 4611686018427387904.0 - 1024;  // in 2^-shift, before it is rounded: 2^62
constexpr int kMostAddendShift = 22;  // |addend - addend_zero| 2^22 fits into 32 bits
constexpr bool is_multiplier(int32_t m, int32_t shift) { return m >= 0 && shift >= 1 && shift <= 62; }
// Error: numbers of a channel that are not as above, for some x.
void check_layer(const Layer& layer);

// A convolution or linear layer whose weights are arranged once for the kernels, the same for every instruction set.
// Those of 4 and 2 bits stay side by side in bytes. Where many weights are zero, batches for which that is faster by
// the table of speeds (kernels/sparse/speed.h) run sparse; the bits are those of the dense kernels.
class PreparedLayer {
public:
    explicit PreparedLayer(const Layer& layer);  // copies what it needs

    // Bytes of scratch that a batch and smaller ones need: x with its padding.
    int64_t workspace(int64_t batch) const;
    // y [N, P, Q, K] u8 from x [N, H, W, C] u8; addend like y, and it may be y.
    void forward(const Table& table, int64_t batch, const uint8_t* x, const uint8_t* addend, uint8_t* scratch,
                 uint8_t* y) const;
    std::string name(const Table& table, int64_t batch) const;
    double cycles(int64_t batch) const;  // an estimate of what forward() takes (kernels/sparse/speed.h)
    double done(int64_t batch) const;  // the share of its multiply-adds that its kernel does
    int64_t bytes() const;             // that the arranged weights take

private:
    struct Panel {
        int64_t channel, channels, group;
        int vectors;
        int64_t weights;  // where they begin
        size_t numbers;
    };
    int64_t run_length() const;
    int64_t chunk(const Table& table, int64_t batch) const;
    void choose_sparse(const Layer& layer);
    double dense_cycles(int64_t batch) const;
    const SparseLayer* sparse_for(int64_t batch) const;  // null: dense
    int8_t* allocate_weights(int64_t bytes);
    void put(int8_t weight, int64_t place, int8_t& byte) const;
    void arrange(const Layer& layer);
    void arrange_depthwise(const Layer& layer);
    size_t append_numbers(const Layer& layer, const std::vector<int64_t>& channels);
    Finish finish_at(size_t numbers) const;
    int64_t padded_images() const;
    const uint8_t* padded(int64_t batch, const uint8_t* x, uint8_t* scratch) const;
    void multiply(const Table& table, int64_t batch, const uint8_t* x, const uint8_t* addend, uint8_t* y) const;
    void correlate(const Table& table, int64_t batch, const uint8_t* x, uint8_t* y) const;
    void multiply_panel(const Table& table, int64_t chunk, const Panel& panel, int64_t begin, int64_t end,
                        const uint8_t* x, const uint8_t* addend, uint8_t* y) const;

    Conv2dShape shape_;
    int bits_;
    bool depthwise_, adds_, pads_;
    int32_t x_zero_, zero_, low_, high_, addend_zero_;
    int64_t padded_h_, padded_w_;
    int64_t steps_ = 0;
    int64_t together_ = 1;  // depthwise: neighbouring results seen as one pixel with that many times the channels
    std::vector<int64_t> run_;  // where each begins, from a pixel's first byte; of a depthwise layer: each tap
    std::vector<Panel> panels_;
    // By the number of images, from one on; null: dense. Beyond the last as it says. Empty: all dense.
    std::vector<std::shared_ptr<const SparseLayer>> sparse_;
    std::optional<AlignedArray<int8_t>> weights_;  // none: all sparse
    std::vector<int32_t> bias_, fraction_, multiplier_, shift_, weight_sum_, addend_multiplier_, addend_shift_;
};

}  // namespace lathe::kernels::integer
