#include "lathe/core/kernels/integer/table.h"

#include <doctest/doctest.h>

#include <cstring>

#include "lathe/tests/core/kernels/integer/integer_cases.h"
#include "lathe/tests/core/kernels/random_values.h"

using namespace lathe;
using namespace lathe::kernels;
using lathe::testing::random_bytes;
using kernels::integer::kLanes;
using kernels::integer::SparseRows;

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

TEST_CASE("sparse integer kernels are the portable ones, for every tile, rows without a quad and none at all") {
    constexpr int64_t kQuads = 5, kPlane = 7 * 7 * 64, kLine = 7 * 64;
    const auto planes = random_bytes(kQuads * kPlane + 16 * 64, 1), bytes = random_bytes(200 * 4, 2);
    std::vector<int8_t> weights(bytes.begin(), bytes.end());
    std::fill_n(weights.begin(), 8, int8_t{-128});
    for (const TileSize& tile : kernels::integer::kSparseTiles)
        for (const int64_t rows : {0, 1, 7, 16})
            for (const bool accumulate : {false, true}) {
                INFO(tile.height, " x ", tile.width, ", ", rows, accumulate ? ", accumulates" : "");
                Random random(static_cast<uint64_t>(tile.height * 100 + tile.width + rows));
                std::vector<uint16_t> counts;
                std::vector<int32_t> offsets;
                for (int64_t row = 0; row < rows; ++row) {
                    counts.push_back(static_cast<uint16_t>(row % 3 == 1 ? 0 : random.below(12)));
                    for (int i = 0; i < counts.back(); ++i) {
                        const int64_t plane = random.below(kQuads) * kPlane;
                        offsets.push_back(static_cast<int32_t>(plane + random.below(9) * 64));
                    }
                }
                offsets.resize(offsets.size() + 2);
                const size_t sums = static_cast<size_t>(rows * tile.height * tile.width * kLanes);
                const auto run = [&](const kernels::integer::Table& table) {
                    std::vector<int32_t> to(sums + 1, 12345);
                    table.sparse.rows({.tile = tile, .rows = rows, .counts = counts.data(), .offsets = offsets.data(),
                                       .weights = weights.data(), .planes = planes.data(), .line = kLine,
                                       .sums = to.data(), .accumulate = accumulate});
                    return to;
                };
                const auto right = run(kernels::integer::table(Isa::baseline));
                CHECK(right[sums] == 12345);
                for_each_isa([&] {
                    auto to = run(kernels::integer::table());
                    if (kernels::integer::table().name == std::string("dotprod"))
                        return;  // its activations have lost 128, which `leave` makes up for
                    CHECK(to == right);
                });
            }
}

TEST_CASE("planes of quads hold the pixels' channels, for odd numbers of quads and none") {
    const auto bytes = random_bytes(40 * 4 * 16, 1);
    const auto* x = reinterpret_cast<const uint32_t*>(bytes.data());
    std::vector<const uint32_t*> pixels;
    for (int i = 0; i < 3 * kLanes; ++i) pixels.push_back(x + i * 7 % 40 * 4);
    for_each_isa([&] {
        for (const int64_t quads : {0, 1, 5, 16, 21}) {
            constexpr int64_t kPlane = 3 * kLanes * 4;
            std::vector<uint8_t> planes(static_cast<size_t>(quads * kPlane + 1), 77);
            kernels::integer::table().sparse.enter(quads, 3, pixels.data(), 2, kPlane, planes.data());
            for (int64_t q = 0; q < quads; ++q)
                for (size_t i = 0; i < pixels.size(); ++i)
                    CHECK(std::memcmp(planes.data() + q * kPlane + 4 * static_cast<int64_t>(i), pixels[i] + 2 + q, 4) ==
                          0);
            CHECK(planes.back() == 77);
        }
    });
}
