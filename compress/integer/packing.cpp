#include "lathe/compress/integer/packing.h"

#include <algorithm>
#include <span>

#include "lathe/core/ceil_div.h"

namespace lathe::compress {

int bits_for(const Tensor& integers) {
    const std::span<const int8_t> all(integers.data<int8_t>(), static_cast<size_t>(integers.numel()));
    for (const int bits : {2, 4}) {
        const int end = 1 << (bits - 1);
        if (std::all_of(all.begin(), all.end(), [&](int8_t q) { return q >= -end && q < end; })) return bits;
    }
    return 8;
}

Tensor pack(const Tensor& integers, int bits) {
    Shape shape = integers.shape();
    const int64_t width = shape.back(), in_byte = 8 / bits, bytes = ceil_div(width, in_byte);
    shape[shape.rank() - 1] = bytes;
    Tensor packed = Tensor::full(shape, 0, DType::u8);
    uint8_t* to = packed.mutable_data<uint8_t>();
    for (int64_t i = 0; i < integers.numel(); ++i) {
        const int field = integers.data<int8_t>()[i] & ((1 << bits) - 1), place = static_cast<int>(i % width % in_byte);
        uint8_t& byte = to[i / width * bytes + i % width / in_byte];
        byte = static_cast<uint8_t>(byte | field << (bits * place));
    }
    return packed;
}

std::vector<int8_t> unpack(const Tensor& packed, int64_t width, int bits) {
    const int64_t in_byte = 8 / bits, bytes = ceil_div(width, in_byte);
    const uint8_t* from = packed.data<uint8_t>();
    std::vector<int8_t> all;
    for (int64_t row = 0; row < packed.numel() / bytes; ++row)
        for (int64_t i = 0; i < width; ++i) {
            const int above = 8 - bits * static_cast<int>(i % in_byte + 1);  // bits of the fields behind it
            const auto at_top = static_cast<int8_t>(from[row * bytes + i / in_byte] << above);
            all.push_back(static_cast<int8_t>(at_top >> (8 - bits)));
        }
    return all;
}

}  // namespace lathe::compress
