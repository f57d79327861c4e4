#include <doctest/doctest.h>

#include <algorithm>
#include <cfloat>

#include "lathe/core/kernels/conv2d_portable.h"
#include "lathe/core/kernels/conv2d_winograd.h"
#include "lathe/tests/core/kernels/random_values.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

const Conv2dShape kShapes[] = {
    // N, H, W, C | P, Q, K | R, S | stride | pad | dilation | groups
    {2, 8, 8, 16, 8, 8, 16, 3, 3, 1, 1, 1, 1},
    {1, 1, 1, 1, 1, 1, 1, 1, 1},
    {3, 7, 5, 3, 7, 5, 10, 3, 3, 1, 1, 1, 1},
    {2, 9, 11, 5, 9, 11, 17, 1, 1},
    {2, 9, 11, 7, 5, 6, 17, 1, 1, 2, 2},
    {2, 28, 28, 1, 28, 28, 6, 5, 5, 1, 1, 2, 2},
    {3, 14, 14, 6, 10, 10, 16, 5, 5},
    {2, 9, 8, 7, 5, 4, 10, 3, 3, 2, 2, 1, 1},
    {2, 8, 8, 16, 4, 4, 32, 3, 3, 2, 2, 0, 0},               // padded below and to the right only
    {2, 10, 7, 4, 3, 3, 5, 3, 2, 4, 3, 1, 1},                 // strides beyond the kernel
    {1, 12, 13, 5, 9, 9, 7, 3, 3, 1, 1, 1, 0, 2, 2},
    {1, 13, 9, 4, 6, 4, 9, 3, 2, 2, 3, 2, 1, 2, 4},
    {1, 3, 3, 2, 3, 3, 4, 7, 7, 1, 1, 3, 3},                  // a kernel larger than the map
    {2, 6, 6, 8, 6, 6, 12, 3, 3, 1, 1, 1, 1, 1, 1, 4},
    {2, 7, 6, 6, 4, 3, 6, 3, 3, 2, 2, 1, 1, 1, 1, 3},
    {2, 7, 9, 19, 7, 9, 19, 3, 3, 1, 1, 1, 1, 1, 1, 19},      // depthwise
    {2, 7, 9, 96, 4, 5, 96, 3, 3, 2, 2, 1, 1, 1, 1, 96},
    {2, 8, 7, 40, 4, 4, 40, 3, 3, 2, 2, 0, 0, 1, 1, 40},      // padded below and to the right only
    {2, 5, 1, 17, 5, 1, 17, 3, 3, 1, 1, 1, 1, 1, 1, 17},
    {1, 6, 6, 33, 4, 4, 33, 3, 3, 1, 1, 0, 0, 1, 1, 33},
    {1, 6, 6, 16, 10, 10, 16, 3, 3, 1, 1, 3, 3, 1, 1, 16},    // padded beyond the kernel
    {1, 11, 10, 5, 11, 10, 5, 5, 5, 1, 1, 2, 2, 1, 1, 5},
    {1, 9, 9, 33, 7, 7, 33, 2, 3, 1, 1, 0, 1, 2, 2, 33},
    {1, 5, 5, 3, 5, 5, 6, 3, 3, 1, 1, 1, 1, 1, 1, 3},         // depthwise with a channel multiplier
    {3, 17, 18, 64, 17, 18, 65, 3, 3, 1, 1, 1, 1},
    {5, 4, 4, 130, 4, 4, 96, 3, 3, 1, 1, 1, 1},
    {2, 32, 32, 3, 32, 32, 64, 3, 3, 1, 1, 1, 1},
    {2, 16, 15, 32, 14, 13, 40, 3, 3},
    {1, 49, 10, 1, 25, 5, 64, 10, 4, 2, 2, 4, 1},
    {1, 20, 300, 3, 20, 300, 8, 3, 3, 1, 1, 1, 1},
    {2, 13, 15, 16, 15, 15, 48, 3, 3, 1, 1, 2, 1},            // Winograd with cut tiles and uneven padding
    {3, 18, 12, 48, 16, 12, 16, 3, 3, 1, 1, 0, 1},
    {40, 8, 8, 32, 8, 8, 48, 3, 3, 1, 1, 1, 1},               // several blocks of tiles
    {7, 32, 32, 16, 32, 32, 16, 3, 3, 1, 1, 1, 1},
    {2, 9, 9, 45, 9, 9, 90, 3, 3, 1, 1, 1, 1},                // Winograd with channels that fill no vector
    {9, 8, 8, 17, 8, 8, 19, 3, 3, 1, 1, 1, 1},
    {1, 4, 4, 70, 4, 4, 80, 3, 3, 1, 1, 1, 1},                // few pixels, many weights
    {3, 6, 5, 64, 3, 3, 65, 5, 3, 2, 2, 2, 1, 1, 1},
};

int64_t x_size(const Conv2dShape& g) { return g.batch * g.in_h * g.in_w * g.in_c; }
int64_t y_size(const Conv2dShape& g) { return g.batch * g.out_h * g.out_w * g.out_c; }
int64_t weight_size(const Conv2dShape& g) { return g.out_c * g.kernel_h * g.kernel_w * (g.in_c / g.groups); }

// Largest error, as a multiple of eps times the largest sum of |products| behind one result.
double relative_error(const std::vector<float>& got, const std::vector<double>& want, const std::vector<double>& scale) {
    double error = 0, largest = 1e-30;
    for (size_t i = 0; i < want.size(); ++i) {
        error = std::max(error, got[i] == got[i] ? std::abs(got[i] - want[i]) : 1e30);
        largest = std::max(largest, scale[i]);
    }
    return error / (FLT_EPSILON * largest);
}

// A plain sum of k products errs by about sqrt(k) roundings. Winograd's transforms add and subtract values up to ten
// times as large in each of two directions: 5 to 16 times eps was measured, 32 is the bound.
double tolerance(const Conv2dShape& g) { return conv2d_algorithm(g) == std::string("winograd4") ? 32 : 4; }
double gradient_tolerance(const Conv2dShape& g) { return winograd::suits(g) ? 32 : 4; }

}  // namespace

TEST_CASE("convolutions agree with the float64 reference") {
    for (const Conv2dShape& g : kShapes) {
        CAPTURE(&g - kShapes);
        const auto x = random_values<double>(x_size(g), 1), weight = random_values<double>(weight_size(g), 2);
        const auto bias = random_values<double>(g.out_c, 3), dy = random_values<double>(y_size(g), 4);
        const auto x32 = random_values<float>(x_size(g), 1), weight32 = random_values<float>(weight_size(g), 2);
        const auto bias32 = random_values<float>(g.out_c, 3), dy32 = random_values<float>(y_size(g), 4);
        const auto ax = magnitudes(x), aweight = magnitudes(weight), abias = magnitudes(bias), ady = magnitudes(dy);

        std::vector<double> y(dy.size()), y_biased(y), y_scale(y), dx(x.size()), dx_scale(x.size());
        std::vector<double> dweight(weight.size()), dweight_scale(weight.size());
        conv2d_forward(g, x.data(), weight.data(), nullptr, y.data());
        conv2d_forward(g, x.data(), weight.data(), bias.data(), y_biased.data());
        conv2d_forward(g, ax.data(), aweight.data(), abias.data(), y_scale.data());
        conv2d_backward_input(g, dy.data(), weight.data(), dx.data());
        conv2d_backward_input(g, ady.data(), aweight.data(), dx_scale.data());
        conv2d_backward_weight(g, x.data(), dy.data(), dweight.data());
        conv2d_backward_weight(g, ax.data(), ady.data(), dweight_scale.data());

        for_each_isa([&] {
            std::vector<float> y32(y.size(), NAN), y32_biased(y32), dx32(x.size(), NAN), dweight32(weight.size(), NAN);
            conv2d_forward(g, x32.data(), weight32.data(), nullptr, y32.data());
            CHECK(relative_error(y32, y, y_scale) < tolerance(g));
            conv2d_forward(g, x32.data(), weight32.data(), bias32.data(), y32_biased.data());
            CHECK(relative_error(y32_biased, y_biased, y_scale) < tolerance(g));
            std::vector<float> clamped(y32.size(), NAN);
            conv2d_forward(g, x32.data(), weight32.data(), Epilogue{bias32.data(), -0.5f, 1.5f}, clamped.data());
            for (float& v : y32_biased) v = std::clamp(v, -0.5f, 1.5f);
            CHECK(clamped == y32_biased);

            // Packed once, for another batch, on top of what y held.
            const auto filter = conv2d_pack(g, weight32.data());
            std::vector<float> sum(y32.size(), 1), first(y32.size() / g.batch, 1);
            filter->forward(g.batch, x32.data(), Epilogue{.bias = bias32.data(), .accumulate = true}, sum.data());
            filter->forward(1, x32.data(), Epilogue{.bias = bias32.data(), .accumulate = true}, first.data());
            for (float& v : sum) v -= 1;
            for (float& v : first) v -= 1;
            CHECK(relative_error(sum, y_biased, y_scale) < tolerance(g) + 2);
            CHECK(relative_error(first, {y_biased.begin(), y_biased.begin() + first.size()}, y_scale) < tolerance(g) + 2);
            conv2d_backward_input(g, dy32.data(), weight32.data(), dx32.data());
            CHECK(relative_error(dx32, dx, dx_scale) < gradient_tolerance(g));
            conv2d_backward_weight(g, x32.data(), dy32.data(), dweight32.data());
            CHECK(relative_error(dweight32, dweight, dweight_scale) < gradient_tolerance(g));
        });
    }
}

TEST_CASE("convolutions give the same bits for one and two threads") {
    const int before = threads();
    for (const Conv2dShape& g : kShapes) {
        CAPTURE(&g - kShapes);
        const auto x = random_values<float>(x_size(g), 1), weight = random_values<float>(weight_size(g), 2);
        const auto dy = random_values<float>(y_size(g), 4);
        std::vector<float> y[2], dx[2], dweight[2];
        for (int i : {0, 1}) {
            set_threads(i + 1);
            y[i].resize(dy.size()), dx[i].resize(x.size()), dweight[i].resize(weight.size());
            conv2d_forward(g, x.data(), weight.data(), nullptr, y[i].data());
            conv2d_backward_input(g, dy.data(), weight.data(), dx[i].data());
            conv2d_backward_weight(g, x.data(), dy.data(), dweight[i].data());
        }
        CHECK(y[0] == y[1]);
        CHECK(dx[0] == dx[1]);
        CHECK(dweight[0] == dweight[1]);
    }
    set_threads(before);
}

TEST_CASE("the float64 reference matches a hand-computed convolution") {
    // A 1x3 row under the kernel (1, 10, 100), padded by one on each side.
    const Conv2dShape g{1, 1, 3, 1, 1, 3, 1, 1, 3, 1, 1, 0, 1};
    const double x[] = {1, 2, 3}, weight[] = {1, 10, 100}, bias[] = {1000}, dy[] = {1, 0, 2};
    double y[3], dx[3], dweight[3];
    conv2d_forward(g, x, weight, bias, y);
    CHECK(std::vector<double>(y, y + 3) == std::vector<double>{1210, 1321, 1032});
    conv2d_backward_input(g, dy, weight, dx);
    CHECK(std::vector<double>(dx, dx + 3) == std::vector<double>{10, 102, 20});
    conv2d_backward_weight(g, x, dy, dweight);
    CHECK(std::vector<double>(dweight, dweight + 3) == std::vector<double>{4, 7, 2});
}
