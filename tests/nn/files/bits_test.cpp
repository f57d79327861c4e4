#include "lathe/nn/files/bits.h"

#include <doctest/doctest.h>

#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::testing;

TEST_CASE("bits: integers of every width come back, signed and unsigned, of any count") {
    for (int bits = 1; bits <= 8; ++bits)
        for (int64_t count : {0, 1, 5, 8, 37})
            for (DType dtype : {DType::i8, DType::u8}) {
                const int64_t values = int64_t{1} << bits, low = dtype == DType::i8 ? -values / 2 : 0;
                Tensor integers({count}, dtype);
                for (int64_t i = 0; i < count; ++i)
                    static_cast<uint8_t*>(static_cast<void*>(integers.mutable_raw()))[i] =
                        static_cast<uint8_t>(low + (i * 11 + 3) % values);
                const Tensor packed = nn::pack_bits(integers, bits);
                CHECK(packed.numel() == (count * bits + 7) / 8);
                CHECK(same(nn::unpack_bits(packed, bits, integers.shape(), dtype), integers));
            }
}

TEST_CASE("bits: the layout, byte for byte, and damaged ones") {
    const Tensor packed = nn::pack_bits(Tensor::of<int8_t>({3}, {-1, 2, -4}), 3);
    CHECK(same(packed, Tensor::of<uint8_t>({2}, {0b00'010'111, 0b1})));  // 111, 010, 100 from the lowest bit on
    CHECK(message_of([&] { nn::unpack_bits(packed, 3, {6}, DType::i8); }) ==
          "expected 6 integers of 3 bits in u8 [3], got u8 [2]");
    CHECK(message_of([&] { nn::unpack_bits(packed, 9, {1}, DType::i8); }) ==
          "expected integers of 1 to 8 bits, got 9");
    CHECK(message_of([&] { nn::unpack_bits(packed, 3, {3}, DType::f32); }) ==
          "expected integers of type i8 or u8, got f32");
}
