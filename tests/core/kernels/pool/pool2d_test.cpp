#include "lathe/core/kernels/pool/pool2d.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lathe/core/kernels/pool/pool2d_portable.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/core/kernels/random_values.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

constexpr float kGuard = 12345;

// Values with many equal ones and a NaN.
std::vector<float> coarse_values(int64_t count) {
    auto values = random_values<float>(count, 1);
    for (float& v : values) v = std::round(v);
    values[static_cast<size_t>(count / 2)] = NAN;
    return values;
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
    for (size_t i = 0; i < a.size(); ++i)
        if (a[i] != b[i] && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
    return a.size() == b.size();
}

}  // namespace

TEST_CASE("pooling kernels agree with the reference on odd sizes, and write nothing else") {
    using Portable = portable::Pool2d<float, uint8_t>;
    for_each_isa([&] {
        for (int64_t channels : {1, 3, 8, 15, 16, 17, 50})
            for (auto [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {2, 2}, {3, 2}, {1, 5}}) {
                INFO(channels, " channels, ", rows, "x", cols);
                const Pool2dTable& kernels = table().pool2d;
                const int64_t count = 3, outputs = count * channels;
                PoolWindows windows{.channels = channels, .rows = rows, .cols = cols,
                                    .x_row = (count * cols + 2) * channels, .count = count,
                                    .x_step = cols * channels, .place = 4, .place_row = cols + 3};
                const int64_t size = rows * windows.x_row;
                const auto x = coarse_values(size), dy = random_values<float>(outputs, 2);

                std::vector<float> y(outputs + 1, kGuard), expected(outputs + 1, kGuard);
                std::vector<uint8_t> index(outputs + 1, 99), expected_index(outputs + 1, 99);
                kernels.max(windows, x.data(), y.data(), index.data());
                Portable::max(windows, x.data(), expected.data(), expected_index.data());
                CHECK(same(y, expected));
                CHECK(index == expected_index);
                std::fill(y.begin(), y.end(), kGuard);
                kernels.max(windows, x.data(), y.data(), nullptr);
                CHECK(same(y, expected));

                const auto smooth = random_values<float>(size, 4);
                kernels.mean(windows, smooth.data(), 0.25f, y.data());
                Portable::mean(windows, smooth.data(), 0.25f, expected.data());
                for (int64_t i = 0; i <= outputs; ++i) CHECK(y[i] == doctest::Approx(expected[i]).epsilon(1e-6));

                for (bool add : {true, false}) {
                    windows.add = add;
                    auto dx = random_values<float>(size, 3), expected_dx = dx;
                    kernels.max_backward(windows, dy.data(), index.data(), dx.data());
                    Portable::max_backward(windows, dy.data(), index.data(), expected_dx.data());
                    CHECK(dx == expected_dx);
                    kernels.mean_backward(windows, dy.data(), 0.25f, dx.data());
                    Portable::mean_backward(windows, dy.data(), 0.25f, expected_dx.data());
                    CHECK(dx == expected_dx);
                }
            }
    });
}

TEST_CASE("pooling gives the same bits for one and two threads") {
    const int before = threads();
    const Pool2dShape g{.batch = 9, .in_h = 31, .in_w = 17, .channels = 20, .out_h = 16, .out_w = 9, .kernel_h = 3,
                        .kernel_w = 3, .stride_h = 2, .stride_w = 2, .pad_top = 1, .pad_left = 1};
    const int64_t in = g.batch * g.in_h * g.in_w * g.channels, out = g.batch * g.out_h * g.out_w * g.channels;
    const auto x = random_values<float>(in, 1), dy = random_values<float>(out, 2);
    std::vector<float> results[2];
    for (int i : {0, 1}) {
        set_threads(i + 1);
        std::vector<float> max(out), mean(out), pixels(g.batch * g.channels), max_dx(in), mean_dx(in), pixels_dx(in);
        std::vector<uint8_t> index(out);
        max_pool2d_forward(g, x.data(), max.data(), index.data());
        max_pool2d_backward(g, dy.data(), index.data(), max_dx.data());
        avg_pool2d_forward(g, x.data(), mean.data());
        avg_pool2d_backward(g, dy.data(), mean_dx.data());
        mean_pixels_forward(g.batch, g.in_h * g.in_w, g.channels, x.data(), pixels.data());
        mean_pixels_backward(g.batch, g.in_h * g.in_w, g.channels, dy.data(), pixels_dx.data());
        for (const auto& part : {max, mean, pixels, max_dx, mean_dx, pixels_dx})
            results[i].insert(results[i].end(), part.begin(), part.end());
    }
    CHECK(results[0] == results[1]);
    set_threads(before);
}

TEST_CASE("pooling of no images writes nothing") {
    const Pool2dShape g{.batch = 0, .in_h = 31, .in_w = 17, .channels = 20, .out_h = 16, .out_w = 9, .kernel_h = 3,
                        .kernel_w = 3, .stride_h = 2, .stride_w = 2, .pad_top = 1, .pad_left = 1};
    float guard = kGuard;
    uint8_t index = 99;
    max_pool2d_forward(g, &guard, &guard, &index);
    max_pool2d_backward(g, &guard, &index, &guard);
    avg_pool2d_forward(g, &guard, &guard);
    avg_pool2d_backward(g, &guard, &guard);
    mean_pixels_forward(0, 16, 20, &guard, &guard);
    mean_pixels_backward(0, 16, 20, &guard, &guard);
    CHECK(guard == kGuard);
    CHECK(index == 99);
}
