#include "lathe/core/kernels/integer/table.h"

#include <doctest/doctest.h>

#include "lathe/tests/core/kernels/integer/integer_cases.h"
#include "lathe/tests/core/kernels/random_values.h"

using namespace lathe;
using namespace lathe::kernels;
using lathe::testing::random_bytes;

TEST_CASE("elementwise integer kernels are the shared arithmetic, for every instruction set and odd lengths") {
    const auto a = random_bytes(200, 1), b = random_bytes(200, 2), entries = random_bytes(256, 3);
    const lathe::integer::Sum sum = lathe::integer::sum_of(0.8, 3, 1.7, 140, 20);
    const lathe::integer::Multiplier by = lathe::integer::multiplier_of(0.013);
    std::vector<float> reals{0, -0.0f, NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 1e-30f};
    Random random(4);
    while (reals.size() < 200)  // every second one is a tie
        reals.push_back(reals.size() % 2 ? 0.5f * (static_cast<float>(random.below(300)) - 150.5f)
                                         : static_cast<float>(random.uniform() * 200 - 100));
    for_each_isa([&] {
        for (const int64_t n : {0, 1, 7, 64, 131}) {
            INFO(n);
            const kernels::integer::Elementwise& table = kernels::integer::table().elementwise;
            std::vector<uint8_t> y(200, 7);
            table.add(n, a.data(), b.data(), sum, 10, 200, y.data());
            for (int64_t i = 0; i < n; ++i) CHECK(y[i] == lathe::integer::add(a[i], b[i], sum, 10, 200));
            for (const int64_t step : {0, 1}) {
                table.mul(n, a.data(), 5, b.data(), 100, step, by, 60, 250, y.data());
                for (int64_t i = 0; i < n; ++i)
                    CHECK(y[i] == lathe::integer::multiply(a[i], 5, b[i * step], 100, by.m, 31 - by.s, 60, 250));
            }
            table.lookup(n, a.data(), entries.data(), y.data());
            for (int64_t i = 0; i < n; ++i) CHECK(y[i] == entries[a[i]]);
            y = b;
            table.max(n, a.data(), y.data());
            for (int64_t i = 0; i < n; ++i) CHECK(y[i] == std::max(a[i], b[i]));
            std::vector<int32_t> sums(200, 5);
            table.sum(n, a.data(), sums.data());
            table.mean(n, sums.data(), 3, 100, by, 60, 63, y.data());
            for (int64_t i = 0; i < n; ++i) {
                CHECK(sums[i] == 5 + a[i]);
                CHECK(y[i] == lathe::integer::mean(sums[i], 3, 100, by.m, 31 - by.s, 60, 63));
            }
            CHECK(sums[n] == 5);
            CHECK(y[n] == b[n]);
            table.quantize(n, reals.data(), 0.5f, 60, 200, y.data());
            for (int64_t i = 0; i < n; ++i) CHECK(y[i] == lathe::integer::quantize(reals[i], 0.5f, 60, 0, 200));
            CHECK(y[n] == b[n]);
        }
    });
}
