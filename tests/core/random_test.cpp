#include "lathe/core/random.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <set>
#include <vector>

#include "lathe/core/error.h"
#include "lathe/core/parallel.h"

using namespace lathe;

namespace {

using Four = std::array<uint32_t, 4>;

// Philox 4x32 with ten rounds, written down from the paper.
Four philox(Four c, std::array<uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
        const uint64_t a = uint64_t{0xD2511F53} * c[0], b = uint64_t{0xCD9E8D57} * c[2];
        c = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ key[0], static_cast<uint32_t>(b),
             static_cast<uint32_t>(a >> 32) ^ c[3] ^ key[1], static_cast<uint32_t>(a)};
        key[0] += 0x9E3779B9, key[1] += 0xBB67AE85;
    }
    return c;
}

uint32_t low(uint64_t x) { return static_cast<uint32_t>(x); }
uint32_t high(uint64_t x) { return static_cast<uint32_t>(x >> 32); }

struct Moments {
    double mean = 0, variance = 0, skewness = 0, kurtosis = 0;
};
template <class Draw>
Moments moments(int count, Draw&& draw) {
    double sum[5] = {};
    for (int i = 0; i < count; ++i) {
        double power = 1;
        const double x = draw();
        for (double& s : sum) s += power, power *= x;
    }
    for (double& s : sum) s /= count;
    const double m = sum[1], variance = sum[2] - m * m;
    return {m, variance, (sum[3] - 3 * m * sum[2] + 2 * m * m * m) / std::pow(variance, 1.5),
            (sum[4] - 4 * m * sum[3] + 6 * m * m * sum[2] - 3 * m * m * m * m) / (variance * variance)};
}

}  // namespace

TEST_CASE("bits are Philox 4x32-10 with the seed as key and (position, stream) as counter") {
    // The known answers that come with Random123.
    CHECK(philox({0, 0, 0, 0}, {0, 0}) == Four{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    CHECK(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) == Four{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
          Four{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});

    Random zero(0);
    for (uint32_t expected : {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}) CHECK(zero.bits() == expected);

    const uint64_t seed = 0x299f31d0a4093822, stream = 0x0370734413198a2e;
    Random random(seed, stream);
    for (uint64_t block : {uint64_t{0}, uint64_t{1}, uint64_t{0x05a308d3243f6a88}}) {
        random.seek(4 * block);
        const Four expected = philox({low(block), high(block), low(stream), high(stream)}, {low(seed), high(seed)});
        for (uint32_t word : expected) CHECK(random.bits() == word);
    }
}

TEST_CASE("a sequence goes on from any position, and streams and seeds differ from the first number on") {
    Random whole(5, 7), part(5, 7);
    std::vector<uint32_t> sequence(50);
    for (uint32_t& word : sequence) word = whole.bits();
    CHECK(whole.position() == 50);
    for (uint64_t at : {49, 3, 4, 3, 0, 17}) {
        part.seek(at);
        CHECK(part.bits() == sequence[at]);
        CHECK(part.position() == at + 1);
    }
    std::set<uint32_t> first;
    for (uint64_t seed = 0; seed < 30; ++seed)
        for (uint64_t stream = 0; stream < 30; ++stream) first.insert(Random(seed, stream).bits());
    CHECK(first.size() == 900);
}

TEST_CASE("what threads draw from streams of their own does not depend on their number") {
    auto draw = [](int count) {
        const int before = threads();
        set_threads(count);
        std::vector<double> drawn(1000);
        parallel_for(1000, 7, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i)
                drawn[static_cast<size_t>(i)] = Random(3, static_cast<uint64_t>(i)).normal();
        });
        set_threads(before);
        return drawn;
    };
    CHECK(draw(1) == draw(2));
    CHECK(draw(1) == draw(5));
}

TEST_CASE("uniform and normal numbers have the moments of their distributions") {
    constexpr int kCount = 200000;  // tolerances are about five standard errors
    Random random(11);
    const Moments uniform = moments(kCount, [&] { return random.uniform(); });
    CHECK(std::abs(uniform.mean - 0.5) < 0.0033);
    CHECK(std::abs(uniform.variance - 1.0 / 12) < 0.001);
    const Moments normal = moments(kCount, [&] { return random.normal(); });
    CHECK(std::abs(normal.mean) < 0.012);
    CHECK(std::abs(normal.variance - 1) < 0.016);
    CHECK(std::abs(normal.skewness) < 0.028);
    CHECK(std::abs(normal.kurtosis - 3) < 0.055);
    for (int i = 0; i < 1000; ++i) {
        const double x = random.uniform(-2, 3);
        REQUIRE(x >= -2);
        REQUIRE(x < 3);
    }
}

TEST_CASE("below draws every integer of its range equally often") {
    constexpr int kDraws = 70000;
    Random random(13);
    std::array<int, 7> count{};
    for (int i = 0; i < kDraws; ++i) ++count[static_cast<size_t>(random.below(7))];
    double chi_square = 0;
    for (int n : count) chi_square += (n - kDraws / 7) * (n - kDraws / 7) / (kDraws / 7.0);
    CHECK(chi_square < 22.5);  // six degrees of freedom: exceeded once in a thousand
    CHECK(Random(1).below(1) == 0);
    CHECK(random.below(int64_t{1} << 32) >= 0);
    CHECK_THROWS_WITH_AS(random.below(0), "random: expected a count from 1 to 4294967296, got 0", Error);
    CHECK_THROWS_AS(random.below(-3), Error);
    CHECK_THROWS_AS(random.below((int64_t{1} << 32) + 1), Error);
}

TEST_CASE("seed restarts the generator of things without a seed of their own") {
    const Random before = global_random();
    seed(9);
    const uint32_t first = global_random().bits();
    CHECK(global_random().bits() != first);
    seed(9);
    CHECK(global_random().bits() == first);
    global_random() = before;
}

TEST_CASE("mix spreads neighbouring numbers over all bits, and their order counts") {
    std::set<uint64_t> mixed;
    for (uint64_t a = 0; a < 20; ++a)
        for (uint64_t b = 0; b < 20; ++b)
            for (uint64_t c = 0; c < 20; ++c) mixed.insert(mix(a, b, c));
    CHECK(mixed.size() == 8000);
    CHECK(mix(1, 2) == mix(1, 2, 0));
    double flipped = 0;  // of 64 bits, when one of the input changes
    for (int bit = 0; bit < 64; ++bit) flipped += __builtin_popcountll(mix(5, 9) ^ mix(5, 9 ^ (uint64_t{1} << bit)));
    CHECK(flipped / 64 == doctest::Approx(32).epsilon(0.06));
}
