#include "lathe/core/files/symbols.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "lathe/core/random.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

// Small symbols more often than large ones.
Symbols some_symbols(int64_t count, int bits, uint64_t seed) {
    Random random(seed);
    Symbols symbols(static_cast<size_t>(count));
    for (uint8_t& symbol : symbols) {
        const double u = random.uniform();
        symbol = static_cast<uint8_t>(u * u * u * (1 << bits));
    }
    return symbols;
}

int64_t total(const std::vector<int64_t>& counts, const std::vector<int>& lengths) {
    int64_t bits = 0;
    for (size_t s = 0; s < counts.size(); ++s) bits += counts[s] * lengths[s];
    return bits;
}

}  // namespace

TEST_CASE("symbols: packed bit by bit, from the lowest on") {
    CHECK(pack_symbols(Symbols{1, 2, 3, 0, 3}, 2) == Symbols{0b00111001, 0b11});
    CHECK(pack_symbols(Symbols{5, 7, 2, 1}, 3) == Symbols{0b10111101, 0b0010});
    CHECK(pack_symbols(Symbols{200, 7}, 8) == Symbols{200, 7});
    for (int bits = 1; bits <= 8; ++bits)
        for (int64_t count : {0, 1, 2, 7, 8, 9, 255, 1000}) {
            const Symbols symbols = some_symbols(count, bits, 1), packed = pack_symbols(symbols, bits);
            CHECK(static_cast<int64_t>(packed.size()) == (count * bits + 7) / 8);
            CHECK(unpack_symbols(packed, bits, count) == symbols);
        }
    CHECK(message_of([] { pack_symbols(Symbols{1, 4}, 2); }) == "expected symbols below 4, got greater ones");
    CHECK(message_of([] { pack_symbols(Symbols{1}, 9); }) == "expected symbols of 1 to 8 bits, got 9");
    CHECK(message_of([] { unpack_symbols(Symbols{1, 2, 3}, 2, 5); }) == "expected 2 bytes of 2-bit symbols, got 3");
    CHECK(message_of([] { unpack_symbols(Symbols{0, 4}, 2, 5); }) == "expected nothing behind the last symbol");
}

TEST_CASE("symbols: Huffman's codes of a textbook, byte for byte") {
    // a 5, b 2, c 1, d 1: 1, 2, 3 and 3 bits, so the codes 0, 10, 110, 111.
    const std::vector<int64_t> counts{5, 2, 1, 1};
    CHECK(huffman_lengths(counts) == std::vector<int>{1, 2, 3, 3});
    CHECK(entropy_bits(counts) ==
          doctest::Approx(5 * std::log2(9 / 5.0) + 2 * std::log2(9 / 2.0) + 2 * std::log2(9.0)));
    // 0 0 0 0 0 10 10 110 111: from the lowest bit on.
    CHECK(huffman_encode(Symbols{0, 0, 0, 0, 0, 1, 1, 2, 3}, 2) == Symbols{3, 0x21, 0x33, 0xa0, 0x76});
}

TEST_CASE("symbols: what is decoded is what was encoded, near the entropy") {
    for (int bits = 1; bits <= 8; ++bits)
        for (int64_t count : {0, 1, 2, 9, 300, 20000}) {
            CAPTURE(bits);
            CAPTURE(count);
            const Symbols symbols = some_symbols(count, bits, 3), coded = huffman_encode(symbols, bits);
            CHECK(huffman_decode(coded, bits, count) == symbols);
            const std::vector<int64_t> counts = count_symbols(symbols, bits);
            const auto payload = 8 * static_cast<double>(coded.size()) - 8 -
                                 4 * (symbols.empty() ? 1 : 1 + *std::max_element(symbols.begin(), symbols.end()));
            CHECK(payload >= entropy_bits(counts) - 1e-6);
            CHECK(payload <= entropy_bits(counts) + static_cast<double>(count) + 8);
        }
    const Symbols same(1000, 5);
    CHECK(huffman_decode(huffman_encode(same, 3), 3, 1000) == same);
    CHECK(huffman_encode(same, 3).size() == 1 + 3 + 125);  // a bit each
}

TEST_CASE("symbols: codes have at most 15 bits, and cost little for it") {
    std::vector<int64_t> counts{1, 1};  // Fibonacci's numbers: without a limit the longest has 39 bits
    while (counts.size() < 40) counts.push_back(counts[counts.size() - 1] + counts[counts.size() - 2]);
    const std::vector<int> lengths = huffman_lengths(counts);
    CHECK(*std::max_element(lengths.begin(), lengths.end()) == 15);
    int64_t share = 0;
    for (int length : lengths) share += int64_t{1} << (15 - length);
    CHECK(share == 1 << 15);
    int64_t unlimited = 39 * counts[0];  // lengths 39, 39, 38, …, 1
    for (int64_t i = 1; i < 40; ++i) unlimited += (40 - i) * counts[static_cast<size_t>(i)];
    CHECK(static_cast<double>(total(counts, lengths)) < 1.001 * static_cast<double>(unlimited));
    CHECK(huffman_lengths({0, 0, 0}) == std::vector<int>{0, 0, 0});
    CHECK(huffman_lengths({0, 7, 0}) == std::vector<int>{0, 1, 0});
    // 256 alike: 8 bits each.
    CHECK(huffman_lengths(std::vector<int64_t>(256, 3)) == std::vector<int>(256, 8));
}

TEST_CASE("symbols: damaged codes are one clear line, and never more symbols than bits") {
    const Symbols symbols = some_symbols(100, 4, 2), good = huffman_encode(symbols, 4);
    const auto error = [&](Symbols coded, int64_t count) {
        return message_of([&] { huffman_decode(coded, 4, count); });
    };
    CHECK(error(good, 100) == "no error");
    for (size_t size = 0; size < good.size(); ++size)
        CHECK(error(Symbols(good.begin(), good.begin() + static_cast<int64_t>(size)), 100) != "no error");
    Symbols longer = good;
    longer.push_back(0);
    CHECK(error(longer, 100).starts_with("expected "));
    CHECK(error(good, int64_t{1} << 31).starts_with("expected codes of 2147483648 symbols, got "));
    CHECK(error(good, 0) == "expected the lengths of a complete Huffman code");
    CHECK(error(Symbols(8, 16), 1) == "expected symbols below 16, got 16");
    CHECK(error(Symbols(8, 0), 1) == "expected the lengths of a complete Huffman code");
    CHECK(error(Symbols(8, 1), 1) == "expected a code, got bits that are none");
    Random random(1);
    for (int i = 0; i < 2000; ++i) {  // whatever comes, it ends, with the symbols or an error
        Symbols damaged = good;
        damaged[static_cast<size_t>(random.below(static_cast<int64_t>(damaged.size())))] ^=
            static_cast<uint8_t>(1 + random.below(255));
        error(damaged, 100);
    }
}
