#include "lathe/core/random.h"

#include <Random123/philox.h>

#include <cmath>
#include <numbers>

#include "lathe/core/error.h"

namespace lathe {

uint32_t Random::bits() {
    const uint64_t block = position_ / 4;
    if (block != block_) {
        using Philox = r123::Philox4x32;
        const Philox::ctr_type counter = {{static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                                           static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)}};
        const Philox::key_type key = {{static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32)}};
        const Philox::ctr_type words = Philox{}(counter, key);
        for (int i = 0; i < 4; ++i) words_[i] = words[i];
        block_ = block;
    }
    return words_[position_++ % 4];
}

double Random::uniform() { return bits() * 0x1p-32; }

double Random::normal() {
    const double radius = std::sqrt(-2.0 * std::log((bits() + 1.0) * 0x1p-32));  // Box and Muller 1958
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

int64_t Random::below(int64_t count) {
    constexpr int64_t kMost = int64_t{1} << 32;
    check(count >= 1 && count <= kMost, "random: expected a count from 1 to ", kMost, ", got ", count);
    const auto range = static_cast<uint64_t>(count);
    const uint64_t limit = kMost / range * range;  // draws from here on would favour small results
    uint64_t draw;
    do draw = bits();
    while (draw >= limit);
    return static_cast<int64_t>(draw % range);
}

Random& global_random() {
    thread_local Random random(0);
    return random;
}
void seed(uint64_t value) { global_random() = Random(value); }

uint64_t mix(uint64_t a, uint64_t b, uint64_t c) {
    uint64_t x = 0;
    for (uint64_t next : {a, b, c}) {  // splitmix64's finaliser over each word
        x += 0x9e3779b97f4a7c15u + next;
        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        x ^= x >> 31;
    }
    return x;
}

}  // namespace lathe
