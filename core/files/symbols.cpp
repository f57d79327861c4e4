#include "lathe/core/files/symbols.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lathe/core/ceil_div.h"
#include "lathe/core/error.h"

namespace lathe {

namespace {

constexpr int kLongest = 15;  // bits of a code: a length fits 4 bits

class BitWriter {
public:
    void put(int bit) {
        if (count_ % 8 == 0) bytes_.push_back(0);
        bytes_.back() |= static_cast<uint8_t>(bit << (count_++ % 8));
    }
    void put(int number, int bits) {  // from its lowest bit on
        for (int i = 0; i < bits; ++i) put(number >> i & 1);
    }
    Symbols take() { return std::move(bytes_); }

private:
    Symbols bytes_;
    int64_t count_ = 0;
};

class BitReader {
public:
    explicit BitReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
    int get() {
        const auto byte = static_cast<size_t>(at_ / 8);
        check(byte < bytes_.size(), "expected more than ", bytes_.size(), " bytes of codes");
        return bytes_[byte] >> (at_++ % 8) & 1;
    }
    int get(int bits) {
        int number = 0;
        for (int i = 0; i < bits; ++i) number |= get() << i;
        return number;
    }
    void check_end() const {
        check(ceil_div(at_, 8) == static_cast<int64_t>(bytes_.size()), "expected ", ceil_div(at_, 8),
              " bytes of codes, got ", bytes_.size());
        check(at_ % 8 == 0 || bytes_.back() >> (at_ % 8) == 0, "expected nothing behind the last code");
    }

private:
    std::span<const uint8_t> bytes_;
    int64_t at_ = 0;
};

size_t symbols_of(int bits) {
    check(bits >= 1 && bits <= 8, "expected symbols of 1 to 8 bits, got ", bits);
    return size_t{1} << bits;
}

// The canonical codes of these lengths.
std::vector<int> codes_of(const std::vector<int>& lengths) {
    std::vector<int> codes(lengths.size());
    int code = 0;
    for (int length = 1; length <= kLongest; ++length, code <<= 1)
        for (size_t s = 0; s < lengths.size(); ++s)
            if (lengths[s] == length) codes[s] = code++;
    return codes;
}

// Every sequence of bits means something, but for the only symbol's code, which leaves half of them out.
void check_complete(const std::vector<int>& lengths, int64_t count) {
    int used = 0, share = 0;  // of 2^15
    for (int length : lengths)
        if (length > 0) ++used, share += 1 << (kLongest - length);
    const bool one = used == 1 && share == 1 << (kLongest - 1);
    check(count == 0 ? used == 0 : share == 1 << kLongest || one, "expected the lengths of a complete Huffman code");
}

}  // namespace

Symbols pack_symbols(std::span<const uint8_t> symbols, int bits) {
    count_symbols(symbols, bits);
    Symbols packed(static_cast<size_t>(ceil_div(static_cast<int64_t>(symbols.size()) * bits, 8)));
    size_t at = 0;
    for (uint8_t symbol : symbols) {
        const int wide = symbol << (at % 8);
        packed[at / 8] |= static_cast<uint8_t>(wide);
        if (wide >> 8) packed[at / 8 + 1] |= static_cast<uint8_t>(wide >> 8);
        at += static_cast<size_t>(bits);
    }
    return packed;
}

Symbols unpack_symbols(std::span<const uint8_t> packed, int bits, int64_t count) {
    const auto most = static_cast<int>(symbols_of(bits) - 1);
    const int64_t bytes = ceil_div(count * bits, 8);
    check(static_cast<int64_t>(packed.size()) == bytes, "expected ", bytes, " bytes of ", bits, "-bit symbols, got ",
          packed.size());
    check(count * bits % 8 == 0 || packed.back() >> (count * bits % 8) == 0, "expected nothing behind the last symbol");
    Symbols symbols(static_cast<size_t>(count));
    size_t at = 0;
    for (uint8_t& symbol : symbols) {
        int wide = packed[at / 8];
        if (at / 8 + 1 < packed.size()) wide |= packed[at / 8 + 1] << 8;
        symbol = static_cast<uint8_t>(wide >> (at % 8) & most);
        at += static_cast<size_t>(bits);
    }
    return symbols;
}

std::vector<int64_t> count_symbols(std::span<const uint8_t> symbols, int bits) {
    std::vector<int64_t> counts(256);
    const size_t most = symbols_of(bits);
    for (uint8_t symbol : symbols) ++counts[symbol];
    check(std::all_of(counts.begin() + static_cast<int64_t>(most), counts.end(), [](int64_t n) { return n == 0; }),
          "expected symbols below ", most, ", got greater ones");
    counts.resize(most);
    return counts;
}

double entropy_bits(const std::vector<int64_t>& counts) {
    const auto total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
    double bits = 0;
    for (int64_t count : counts)
        if (count > 0) bits += static_cast<double>(count) * std::log2(total / static_cast<double>(count));
    return bits;
}

// Each of 15 rounds pairs the cheapest packages of the round before and puts them among the single symbols. The
// cheapest 2 (n - 1) of the last round hold every symbol as often as its code has bits.
std::vector<int> huffman_lengths(const std::vector<int64_t>& counts) {
    struct Package {
        int64_t weight;
        std::vector<size_t> symbols;
    };
    const auto lighter = [](const Package& a, const Package& b) { return a.weight < b.weight; };
    std::vector<Package> single, packages;
    for (size_t s = 0; s < counts.size(); ++s)
        if (counts[s] > 0) single.push_back({counts[s], {s}});
    std::stable_sort(single.begin(), single.end(), lighter);
    for (int round = 0; round < kLongest; ++round) {
        std::vector<Package> pairs, merged;
        for (size_t i = 0; i + 1 < packages.size(); i += 2) {
            Package pair = std::move(packages[i]);
            pair.weight += packages[i + 1].weight;
            pair.symbols.insert(pair.symbols.end(), packages[i + 1].symbols.begin(), packages[i + 1].symbols.end());
            pairs.push_back(std::move(pair));
        }
        std::merge(single.begin(), single.end(), pairs.begin(), pairs.end(), std::back_inserter(merged), lighter);
        packages = std::move(merged);
    }
    std::vector<int> lengths(counts.size());
    if (single.size() == 1) lengths[single[0].symbols[0]] = 1;
    for (size_t i = 0; single.size() > 1 && i < 2 * (single.size() - 1); ++i)
        for (size_t s : packages[i].symbols) ++lengths[s];
    return lengths;
}

Symbols huffman_encode(std::span<const uint8_t> symbols, int bits) {
    const std::vector<int> lengths = huffman_lengths(count_symbols(symbols, bits)), codes = codes_of(lengths);
    const auto greatest = symbols.empty() ? size_t{0} : *std::max_element(symbols.begin(), symbols.end());
    BitWriter out;
    out.put(static_cast<int>(greatest), 8);
    for (size_t s = 0; s <= greatest; ++s) out.put(lengths[s], 4);
    for (uint8_t symbol : symbols)
        for (int i = lengths[symbol] - 1; i >= 0; --i) out.put(codes[symbol] >> i & 1);
    return out.take();
}

Symbols huffman_decode(std::span<const uint8_t> coded, int bits, int64_t count) {
    BitReader in(coded);
    std::vector<int> lengths(symbols_of(bits));
    const auto greatest = static_cast<size_t>(in.get(8));
    check(greatest < lengths.size(), "expected symbols below ", lengths.size(), ", got ", greatest);
    for (size_t s = 0; s <= greatest; ++s) lengths[s] = in.get(4);
    check_complete(lengths, count);
    check(count <= 8 * static_cast<int64_t>(coded.size()), "expected codes of ", count, " symbols, got ", coded.size(),
          " bytes");
    // Symbols in the order of their codes; of each length there are so many.
    std::vector<uint8_t> in_order;
    int of_length[kLongest + 1] = {};
    for (int length = 1; length <= kLongest; ++length)
        for (size_t s = 0; s < lengths.size(); ++s)
            if (lengths[s] == length) in_order.push_back(static_cast<uint8_t>(s)), ++of_length[length];
    Symbols symbols(static_cast<size_t>(count));
    for (uint8_t& symbol : symbols) {
        int code = 0, first = 0, before = 0;  // the first code of this length, and how many shorter ones there are
        for (int length = 1;; ++length) {
            check(length <= kLongest, "expected a code, got bits that are none");
            code |= in.get();
            if (code - first < of_length[length]) {
                symbol = in_order[static_cast<size_t>(before + code - first)];
                break;
            }
            before += of_length[length];
            first = (first + of_length[length]) << 1;
            code <<= 1;
        }
    }
    in.check_end();
    return symbols;
}

}  // namespace lathe
