#include "lathe/core/integer/arithmetic.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

using namespace lathe::integer;

namespace {

// The other convention of the field: to 31 bits, then a division that rounds half away from zero.
int32_t requantize_twice(int32_t v, int32_t m, int32_t s) {
    const int64_t product = static_cast<int64_t>(v) * (int64_t{1} << std::max(s, 0)) * m;
    const int64_t t = (product + (int64_t{1} << 30)) >> 31;
    const int64_t divisor = int64_t{1} << std::max(-s, 0);
    return static_cast<int32_t>(t >= 0 ? (t + divisor / 2) / divisor : -((-t + divisor / 2) / divisor));
}

int difference(int32_t m, int32_t s) {
    int count = 0;
    for (int32_t v = -200000; v <= 200000; ++v) count += requantize(v, m, 31 - s) != requantize_twice(v, m, s);
    return count;
}

}  // namespace

TEST_CASE("real multipliers become 31 bits and a shift") {
    const auto check = [](double real, int32_t m, int32_t s) {
        const Multiplier found = multiplier_of(real);
        CHECK(found.m == m);
        CHECK(found.s == s);
    };
    check(0.0003, 1319413953, -11);
    check(0.00123, 1352399302, -9);
    check(0.5, 1 << 30, 0);
    check(1.7, 1825361101, 1);
    check(1 - 1e-12, 1 << 30, 1);  // rounds up to the next power
    check(0, 0, 0);
    check(1e-12, 0, 0);
}

TEST_CASE("requantizing rounds once: as the formula of the field says, and nearest to the product") {
    for (const auto& [m, s] : {std::pair{1319413953, -11}, {1 << 30, -3}, {2147483647, -5}, {1825361101, 1}})
        for (int32_t v = -5000; v <= 5000; v += 7) {
            const int64_t product = static_cast<int64_t>(v) * m;
            CHECK(requantize(v, m, 31 - s) == ((product >> (30 - s)) + 1) >> 1);
            CHECK(std::fabs(requantize(v, m, 31 - s) - std::ldexp(static_cast<double>(product), s - 31)) <= 0.5);
        }
    CHECK(requantize(1, 1 << 30, 31) == 1);  // ties go up
    CHECK(requantize(-1, 1 << 30, 31) == 0);
    CHECK(requantize(INT32_MIN, 2147483647, 62) == -1);
    CHECK(requantize(INT32_MAX, 1 << 30, 61) == 1);
}

TEST_CASE("what stands beside a sum is rounded with it, once") {
    const int32_t m = 1352399302, shift = 42;
    for (int32_t v = -3000; v <= 3000; v += 7)
        for (const int64_t beside : {int64_t{0}, int64_t{m} / 3, int64_t{-200} * m, (int64_t{250} << 22) * m}) {
            const double real = std::ldexp(static_cast<double>(int64_t{v} * m + beside), -shift);
            CHECK(requantize_with(v, m, beside, shift) == std::floor(real + 0.5));
        }
    // 2 and 2 are halves of a step each, together a whole one; rounded by themselves they would be two.
    CHECK(requantize_with(2, 1 << 30, int64_t{2} << 30, 32) == 1);
    CHECK(requantize(2, 1 << 30, 32) + requantize(2, 1 << 30, 32) == 2);
}

TEST_CASE("single and double rounding differ as often as counted elsewhere") {
    CHECK(difference(1 << 30, -3) == 25000);
    CHECK(difference(2147483647, -5) == 12500);
    CHECK(difference(1518500250, -7) == 1558);
    CHECK(difference(1234567891, -9) == 392);
}

TEST_CASE("real numbers become integers, ties to even, beyond the range its end") {
    CHECK(quantize(0.5f, 1, 0, -8, 7) == 0);
    CHECK(quantize(1.5f, 1, 0, -8, 7) == 2);
    CHECK(quantize(-2.5f, 1, 3, -8, 7) == 1);
    CHECK(quantize(1e30f, 1e-3f, 3, 0, 255) == 255);
    CHECK(quantize(-INFINITY, 1, 3, 0, 255) == 0);
    CHECK(quantize(NAN, 1, 3, 0, 255) == 0);
    CHECK(dequantize(5, 0.5f, 3) == 1.0f);
}

TEST_CASE("sums of two scales and means are within half a step of the real ones") {
    for (const auto& [ra, rb] : {std::pair{0.7, 1.3}, {1.0, 1.0}, {1e-3, 2.5}, {300.0, 0.01}, {1e-6, 1e-7}}) {
        const Sum sum = sum_of(ra, 3, rb, 200, 17);
        for (int a = 0; a < 256; a += 5)
            for (int b = 0; b < 256; b += 3) {
                const double real = 17 + ra * (a - 3) + rb * (b - 200);
                const double expected = real < 0 ? 0 : real > 255 ? 255 : real;
                CHECK(std::fabs(add(a, b, sum, 0, 255) - expected) <= 0.5 + 1e-4);
            }
    }
    const Multiplier m = multiplier_of(0.25 / 9);
    CHECK(mean(9 * 100, 9, 10, m.m, 31 - m.s, 7, 255) == 30);  // 7 + 22.5, up
    const Multiplier p = multiplier_of(0.01);
    CHECK(multiply(20, 10, 250, 50, p.m, 31 - p.s, 100, 255) == 120);
}
