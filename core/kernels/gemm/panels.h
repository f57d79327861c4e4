#pragma once
#include <string>

#include "lathe/core/kernels/dispatch/panel_table.h"
#include "lathe/core/memory.h"

namespace lathe::kernels {

// A weight whose values share a codebook: weight(k, i) = scale[k] * codebook[indices(k, i)].
struct IndexedWeight {
    int bits;                // 1 to 8
    const uint8_t* indices;  // of the weight's shape [K, ...], each below 2^bits
    const float* codebook;   // [2^bits]
    const float* scale;      // [K]; null: 1
};

// Panels [k, columns] as a product reads them, `size` floats, or words of indices, apart.
struct Panels {
    const float* values;      // null: they are indices
    int64_t size;
    IndexedPanel indexed{};   // the first one

    // How many rows to read at a time: the values of indices are to stay in a first-level cache until they are used.
    int64_t most_rows(int64_t otherwise) const { return values ? otherwise : kIndexedRows; }
    size_t buffer_floats(int columns) const { return values ? 0 : static_cast<size_t>(kIndexedRows * columns); }
    // Rows [first, first + count) of a panel, in their place or looked up into the buffer.
    const float* rows(const PanelTable& kernels, int64_t panel, int64_t first, int64_t count, float* buffer) const;

    static constexpr int64_t kIndexedRows = 256;  // 32 KiB of AVX-512's panels, 16 of AVX2's
};

// The weights of a layer in panels, made once: values as they are, or indices of a codebook, which are a quarter to a
// 32nd of the bytes.
class PanelWeights {
public:
    // Of `groups` matrices B [k, n], `row` apart in k and `column` in n, one of them 1; the next one n * column on.
    PanelWeights(int64_t groups, int64_t k, int64_t n, const float* b, int64_t row, int64_t column);
    // Of those with weight [groups * n, k] = B^T.
    PanelWeights(int64_t groups, int64_t k, int64_t n, const IndexedWeight& weight);

    Panels panels() const;
    int64_t bytes() const;
    std::string name(const std::string& algorithm) const;  // "direct", or "direct 4-bit"

private:
    int64_t count_, size_;
    int bits_ = 0;  // 0: values
    AlignedArray<float> values_;
    AlignedArray<uint32_t> words_;
    AlignedArray<float> codebook_, scale_;
};

}  // namespace lathe::kernels
