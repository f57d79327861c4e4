#include "lathe/nn/files/bits.h"

#include "lathe/core/ceil_div.h"

namespace lathe::nn {

namespace {

void check_integers(int64_t bits, DType dtype) {
    check(bits >= 1 && bits <= 8, "expected integers of 1 to 8 bits, got ", bits);
    check(dtype == DType::i8 || dtype == DType::u8, "expected integers of type i8 or u8, got ", name_of(dtype));
}

}  // namespace

Tensor pack_bits(const Tensor& integers, int bits) {
    check_integers(bits, integers.dtype());
    Tensor packed = Tensor::zeros({ceil_div(integers.numel() * bits, 8)}, DType::u8);
    if (integers.numel() == 0) return packed;
    const auto* from = reinterpret_cast<const uint8_t*>(integers.raw());
    uint8_t* to = packed.mutable_data<uint8_t>();
    for (int64_t i = 0; i < integers.numel(); ++i) {
        const int64_t at = i * bits;
        const auto pair = static_cast<unsigned>(from[i] & ((1 << bits) - 1)) << (at % 8);
        to[at / 8] |= static_cast<uint8_t>(pair);
        if (at % 8 + bits > 8) to[at / 8 + 1] |= static_cast<uint8_t>(pair >> 8);
    }
    return packed;
}

Tensor unpack_bits(const Tensor& bytes, int bits, const Shape& shape, DType dtype) {
    check_integers(bits, dtype);
    const int64_t expected = ceil_div(shape.numel() * bits, 8);
    check(bytes.dtype() == DType::u8 && bytes.shape() == Shape{expected}, "expected ", shape.numel(), " integers of ",
          bits, " bits in u8 [", expected, "], got ", name_of(bytes.dtype()), " ", bytes.shape());
    Tensor integers(shape, dtype);
    if (integers.numel() == 0) return integers;
    const uint8_t* from = bytes.data<uint8_t>();
    auto* to = reinterpret_cast<uint8_t*>(integers.mutable_raw());
    const unsigned sign = dtype == DType::i8 ? 1u << (bits - 1) : 0;
    for (int64_t i = 0; i < integers.numel(); ++i) {
        const int64_t at = i * bits;
        unsigned pair = from[at / 8];
        if (at % 8 + bits > 8) pair |= static_cast<unsigned>(from[at / 8 + 1]) << 8;
        const unsigned value = (pair >> (at % 8)) & ((1u << bits) - 1);
        to[i] = static_cast<uint8_t>((value ^ sign) - sign);
    }
    return integers;
}

}  // namespace lathe::nn
