#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace lathe {

// Streams of symbols below 2^bits, 1 to 8 bits, as files hold them: packed side by side, or by a Huffman code of their
// own.
using Symbols = std::vector<uint8_t>;

// Symbol i has the bits from i * bits on; bit k is bit k % 8 of byte k / 8. With 8 bits the bytes are the symbols.
Symbols pack_symbols(std::span<const uint8_t> symbols, int bits);
// Error: another number of bytes than `count` symbols take, or a bit behind the last one.
Symbols unpack_symbols(std::span<const uint8_t> packed, int bits, int64_t count);

// How often each of the 2^bits symbols stands there. Error: a symbol beyond them.
std::vector<int64_t> count_symbols(std::span<const uint8_t> symbols, int bits);
// Bits that symbols of these counts take at least, each coded alone (Shannon 1948).
double entropy_bits(const std::vector<int64_t>& counts);

// The length of each symbol's code, 0 where it does not occur: the shortest codes of at most 15 bits (Huffman 1952;
// with the limit by merging packages: Larmore and Hirschberg 1990). A single symbol has one bit.
std::vector<int> huffman_lengths(const std::vector<int64_t>& counts);

// The greatest symbol, 8 bits; of each up to it the length of its code, 4 bits; then the codes of the symbols in order,
// each from its first bit on. Codes are canonical: of growing length, and of growing symbol within one length, they
// count upwards from 0.
Symbols huffman_encode(std::span<const uint8_t> symbols, int bits);
// Error: a symbol of more bits, lengths that are none of a complete code, other bytes than `count` symbols take.
// Allocates nothing that the bytes cannot hold.
Symbols huffman_decode(std::span<const uint8_t> coded, int bits, int64_t count);

}  // namespace lathe
