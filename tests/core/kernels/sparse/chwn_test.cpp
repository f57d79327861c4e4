#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/kernels/sparse/chwn.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/core/kernels/conv2d/conv2d_cases.h"
#include "lathe/tests/core/kernels/sparse/sparse_weights.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

// x [N, pixels, channels] in CHWN, and y out of it.
std::vector<float> entered(int64_t pixels, int64_t channels, const std::vector<float>& x) {
    std::vector<float> y(x.size(), NAN);
    chwn::enter(pixels, channels, x.data(), y.data());
    return y;
}
std::vector<float> left(int64_t pixels, int64_t channels, const std::vector<float>& y) {
    std::vector<float> x(y.size(), NAN);
    chwn::leave(pixels, channels, y.data(), x.data());
    return x;
}

// Results in NHWC of the filter in CHWN; y holds what results are added to, where they are.
std::vector<float> convolved(const Conv2dShape& g, const PreparedConv2d& layer, const std::vector<float>& x,
                             const Epilogue& epilogue, const std::vector<float>& y) {
    std::vector<float> results = entered(g.out_h * g.out_w, g.out_c, y);
    layer.forward(chwn::images(), entered(g.in_h * g.in_w, g.in_c, x).data(), epilogue, results.data());
    return left(g.out_h * g.out_w, g.out_c, results);
}

}  // namespace

TEST_CASE("CHWN has the channels first and the images last") {
    for_each_isa([] {
        const int64_t n = chwn::images(), pixels = 70, channels = 19;
        const auto x = random_values<float>(n * pixels * channels, 1);
        const auto y = entered(pixels, channels, x);
        CHECK(y[static_cast<size_t>((3 * pixels + 65) * n + 1)] ==
              x[static_cast<size_t>((1 * pixels + 65) * channels + 3)]);
        CHECK(left(pixels, channels, y) == x);
    });
}

// The large shapes are covered for NHWC; what CHWN adds depends on the geometry alone.
bool small(const Conv2dShape& g) { return g.macs() / g.batch < 2000000; }

TEST_CASE("convolutions in CHWN agree with the float64 reference") {
    for (Conv2dShape g : kShapes) {
        if (!small(g)) continue;
        for (SparsePattern pattern : kPatterns) {
            if (needs_fours(pattern) && g.in_c / g.groups % 4 != 0) continue;
            CAPTURE(g.in_c);
            CAPTURE(g.out_c);
            CAPTURE(std::string(name_of(pattern)));
            const double density = pattern == SparsePattern::unstructured && g.in_c % 2 == 0 ? 1.0 : 0.2;
            const auto weight32 =
                sparse_weights(pattern, g.out_c, g.kernel_h * g.kernel_w, g.in_c / g.groups, density, 2);
            const std::vector<double> weight(weight32.begin(), weight32.end());
            for_each_isa([&] {
                g.batch = chwn::images();
                const auto x = random_values<double>(x_size(g), 1), bias = random_values<double>(g.out_c, 3);
                const auto x32 = random_values<float>(x_size(g), 1), bias32 = random_values<float>(g.out_c, 3);
                std::vector<double> y(static_cast<size_t>(y_size(g))), scale(y);
                conv2d_forward(g, x.data(), weight.data(), bias.data(), y.data());
                conv2d_forward(g, magnitudes(x).data(), magnitudes(weight).data(), magnitudes(bias).data(),
                               scale.data());
                const auto layer = chwn::prepare(g, weight32.data());
                const std::vector<float> nothing(y.size(), NAN), ones(y.size(), 1);
                std::vector<float> y32 = convolved(g, *layer, x32, Epilogue{bias32.data()}, nothing);
                CHECK(relative_error(y32, y, scale) < 4);
                std::vector<float> sum = convolved(g, *layer, x32, {.bias = bias32.data(), .accumulate = true}, ones);
                for (float& v : sum) v -= 1;
                CHECK(relative_error(sum, y, scale) < 6);
                for (float& v : y32) v = std::clamp(v, -0.5f, 1.5f);
                CHECK(convolved(g, *layer, x32, Epilogue{bias32.data(), -0.5f, 1.5f}, nothing) == y32);
            });
        }
    }
}

TEST_CASE("a filter in CHWN takes the largest of every 2x2 results") {
    for (Conv2dShape g : kShapes) {
        if (!small(g) || g.out_h < 2 || g.out_w < 2) continue;
        g.out_h -= g.out_h % 2;
        g.out_w -= g.out_w % 2;
        for (SparsePattern pattern : {SparsePattern::unstructured, SparsePattern::column_blocks}) {
            CAPTURE(g.in_c);
            CAPTURE(g.out_c);
            const auto weight = sparse_weights(pattern, g.out_c, g.kernel_h * g.kernel_w, g.in_c / g.groups, 0.2, 2);
            for_each_isa([&] {
                g.batch = chwn::images();
                const auto x = random_values<float>(x_size(g), 1), bias = random_values<float>(g.out_c, 3);
                const Epilogue end{.bias = bias.data(), .low = 0};
                std::vector<float> whole(static_cast<size_t>(y_size(g)), NAN), pooled(whole.size() / 4, NAN),
                    wanted(pooled);
                chwn::prepare(g, weight.data())->forward(g.batch, x.data(), end, whole.data());
                chwn::prepare(g, weight.data(), true)->forward(g.batch, x.data(), end, pooled.data());
                const int64_t n = g.batch, half = g.out_w / 2;
                const auto at = [&](int64_t row, int64_t column, int64_t i) {  // row: of all channels' maps
                    return whole[static_cast<size_t>((row * g.out_w + column) * n + i)];
                };
                for (int64_t row = 0; row < g.out_c * g.out_h / 2; ++row)
                    for (int64_t column = 0; column < half; ++column)
                        for (int64_t i = 0; i < n; ++i)
                            wanted[static_cast<size_t>((row * half + column) * n + i)] =
                                std::max({at(2 * row, 2 * column, i), at(2 * row, 2 * column + 1, i),
                                          at(2 * row + 1, 2 * column, i), at(2 * row + 1, 2 * column + 1, i)});
                double apart = 0;  // the two may take other tiles and so add in another order
                for (size_t i = 0; i < wanted.size(); ++i)
                    apart = std::max<double>(apart, std::abs(pooled[i] - wanted[i]));
                CHECK(apart < 1e-4);
            });
        }
    }
}

TEST_CASE("convolutions in CHWN give the same bits for one and two threads") {
    for (Conv2dShape g : kShapes) {
        g.batch = chwn::images();
        const auto weight =
            sparse_weights(SparsePattern::unstructured, g.out_c, g.kernel_h * g.kernel_w, g.in_c / g.groups, 0.2, 2);
        CHECK(same_for_threads(*chwn::prepare(g, weight.data()), g));
    }
}
