#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/kernels/conv2d/portable.h"
#include "lathe/core/kernels/conv2d/winograd.h"
#include "lathe/tests/core/kernels/conv2d/conv2d_cases.h"
#include "lathe/tests/core/kernels/random_values.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

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

            // Prepared once, for another batch, on top of what y held.
            const auto layer = conv2d_prepare(g, weight32.data());
            std::vector<float> sum(y32.size(), 1), first(y32.size() / g.batch, 1);
            layer->forward(g.batch, x32.data(), Epilogue{.bias = bias32.data(), .accumulate = true}, sum.data());
            layer->forward(1, x32.data(), Epilogue{.bias = bias32.data(), .accumulate = true}, first.data());
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
