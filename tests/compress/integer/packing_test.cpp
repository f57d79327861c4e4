#include "lathe/compress/integer/packing.h"

#include <doctest/doctest.h>

using namespace lathe;
using compress::bits_for, compress::pack, compress::unpack;

TEST_CASE("weights take the fewest bits that hold all of them") {
    const auto bits = [](const std::vector<int8_t>& w) {
        return bits_for(Tensor::of<int8_t>({static_cast<int64_t>(w.size())}, w));
    };
    CHECK(bits({-2, 1, 0}) == 2);
    CHECK(bits({-2, 2}) == 4);
    CHECK(bits({-3}) == 4);
    CHECK(bits({-8, 7}) == 4);
    CHECK(bits({8, 0}) == 8);
    CHECK(bits({-128}) == 8);
    CHECK(bits({}) == 2);
}

TEST_CASE("weights of 4 and 2 bits lie side by side, the first in the lowest bits, and each row begins with a byte") {
    const Tensor fours = Tensor::of<int8_t>({2, 3}, std::vector<int8_t>{1, -1, 7, -8, 0, 5});
    const Tensor packed = pack(fours, 4);
    REQUIRE(packed.shape() == Shape{2, 2});
    CHECK(std::vector<uint8_t>(packed.data<uint8_t>(), packed.data<uint8_t>() + 4) ==
          std::vector<uint8_t>{0xf1, 0x07, 0x08, 0x05});
    CHECK(unpack(packed, 3, 4) == std::vector<int8_t>{1, -1, 7, -8, 0, 5});

    const Tensor twos = Tensor::of<int8_t>({1, 5}, std::vector<int8_t>{1, -1, 0, -2, 1});
    const Tensor bytes = pack(twos, 2);
    REQUIRE(bytes.shape() == Shape{1, 2});
    CHECK(bytes.data<uint8_t>()[0] == 0b10'00'11'01);
    CHECK(bytes.data<uint8_t>()[1] == 0b01);
    CHECK(unpack(bytes, 5, 2) == std::vector<int8_t>{1, -1, 0, -2, 1});
}
