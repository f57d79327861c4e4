#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>

#include "lathe/core/error.h"
#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/core/kernels/sparse/portable.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/core/kernels/conv2d/conv2d_cases.h"
#include "lathe/tests/core/kernels/random_values.h"
#include "lathe/tests/core/kernels/sparse/sparse_weights.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

// Every shape, pattern and density that go together.
template <class Body>
void for_each_case(std::initializer_list<double> densities, const Body& body) {
    for (const Conv2dShape& g : kShapes)
        for (SparsePattern pattern : kPatterns)
            for (double density : densities) {
                if (needs_fours(pattern) && g.in_c / g.groups % 4 != 0) continue;
                CAPTURE(&g - kShapes);
                CAPTURE(std::string(name_of(pattern)));
                CAPTURE(density);
                body(g, pattern,
                     sparse_weights(pattern, g.out_c, g.kernel_h * g.kernel_w, g.in_c / g.groups, density, 2));
            }
}

}  // namespace

TEST_CASE("the plain sparse loop computes the definition of convolution") {
    for_each_case({0.0, 0.1, 1.0}, [](const Conv2dShape& g, SparsePattern, const std::vector<float>& weight32) {
        const auto x = random_values<double>(x_size(g), 1), bias = random_values<double>(g.out_c, 3);
        const std::vector<double> weight(weight32.begin(), weight32.end());
        std::vector<double> plain(static_cast<size_t>(y_size(g)), NAN), dense(plain);
        for (const double* b : {bias.data(), static_cast<const double*>(nullptr)}) {
            portable::sparse_conv2d(g, x.data(), weight.data(), b, plain.data());
            conv2d_forward(g, x.data(), weight.data(), b, dense.data());
            CHECK(plain == dense);
        }
    });
}

TEST_CASE("sparse convolutions agree with the plain sparse loop in float64") {
    for_each_case({0.0, 0.1, 1.0}, [](const Conv2dShape& g, SparsePattern pattern, const std::vector<float>& weight32) {
        const auto x = random_values<double>(x_size(g), 1), bias = random_values<double>(g.out_c, 3);
        const auto x32 = random_values<float>(x_size(g), 1), bias32 = random_values<float>(g.out_c, 3);
        const std::vector<double> weight(weight32.begin(), weight32.end());
        std::vector<double> y(static_cast<size_t>(y_size(g))), scale(y);
        portable::sparse_conv2d(g, x.data(), weight.data(), bias.data(), y.data());
        portable::sparse_conv2d(g, magnitudes(x).data(), magnitudes(weight).data(), magnitudes(bias).data(),
                                scale.data());
        for_each_isa([&] {
            const auto layer = sparse::prepare(g, weight32.data(), pattern);
            std::vector<float> y32(y.size(), NAN), clamped(y32), sum(y.size(), 1);
            std::vector<float> first(y.size() / static_cast<size_t>(g.batch), NAN);
            layer->forward(g.batch, x32.data(), Epilogue{bias32.data()}, y32.data());
            CHECK(relative_error(y32, y, scale) < 4);
            layer->forward(g.batch, x32.data(), Epilogue{.bias = bias32.data(), .accumulate = true}, sum.data());
            for (float& v : sum) v -= 1;
            CHECK(relative_error(sum, y, scale) < 6);
            layer->forward(1, x32.data(), Epilogue{bias32.data()}, first.data());
            CHECK(relative_error(first, {y.begin(), y.begin() + static_cast<int64_t>(first.size())}, scale) < 4);
            layer->forward(g.batch, x32.data(), Epilogue{bias32.data(), -0.5f, 1.5f}, clamped.data());
            for (float& v : y32) v = std::clamp(v, -0.5f, 1.5f);
            CHECK(clamped == y32);
        });
    });
}

TEST_CASE("sparse convolutions of no images write nothing") {
    for_each_case({0.1}, [](Conv2dShape g, SparsePattern pattern, const std::vector<float>& weight) {
        for_each_isa([&] {
            float guard = 7;
            sparse::prepare(g, weight.data(), pattern)->forward(0, &guard, {}, &guard);
            Conv2dShape none = g;
            none.batch = 0;
            const auto layer = sparse::prepare(none, weight.data(), pattern);
            layer->forward(0, &guard, {}, &guard);
            sparse::prepare_fastest(none, weight.data())->forward(0, &guard, {}, &guard);
            CHECK(guard == 7);
            // Prepared for none, it still runs others; they may be tiled otherwise and so be added in another order.
            const auto x = random_values<float>(x_size(g), 1);
            std::vector<float> y(static_cast<size_t>(y_size(g)), NAN), wanted(y);
            layer->forward(g.batch, x.data(), {}, y.data());
            sparse::prepare(g, weight.data(), pattern)->forward(g.batch, x.data(), {}, wanted.data());
            double apart = 0;
            for (size_t i = 0; i < y.size(); ++i)
                apart = std::max<double>(apart, y[i] == y[i] ? std::abs(y[i] - wanted[i]) : 1);
            CHECK(apart < 1e-4);
        });
    });
}

TEST_CASE("sparse convolutions give the same bits for one and two threads") {
    for_each_case({0.1}, [](const Conv2dShape& g, SparsePattern pattern, const std::vector<float>& weight) {
        CHECK(same_for_threads(*sparse::prepare(g, weight.data(), pattern), g));
    });
}

TEST_CASE("sparse linear layers agree with the float64 reference, for any number of rows") {
    for (SparsePattern pattern : kPatterns)
        for (int64_t rows : {1, 2, 5, 33, 300})
            for (int64_t channels : {4, 84, 700}) {
                CAPTURE(std::string(name_of(pattern)));
                CAPTURE(rows);
                CAPTURE(channels);
                const Conv2dShape g{rows, 1, 1, channels, 1, 1, 37, 1, 1};
                const auto weight32 = sparse_weights(pattern, 37, 1, channels, 0.2, 5);
                const auto x = random_values<double>(rows * channels, 1), bias = random_values<double>(37, 3);
                const auto x32 = random_values<float>(rows * channels, 1), bias32 = random_values<float>(37, 3);
                const std::vector<double> weight(weight32.begin(), weight32.end());
                std::vector<double> y(static_cast<size_t>(rows * 37)), scale(y);
                conv2d_forward(g, x.data(), weight.data(), bias.data(), y.data());
                conv2d_forward(g, magnitudes(x).data(), magnitudes(weight).data(), magnitudes(bias).data(),
                               scale.data());
                for_each_isa([&] {
                    const auto layer = sparse::prepare(g, weight32.data(), pattern);
                    std::vector<float> y32(y.size(), NAN);
                    layer->forward(rows, x32.data(), Epilogue{bias32.data()}, y32.data());
                    CHECK(relative_error(y32, y, scale) < 4);
                });
            }
}

TEST_CASE("rows without weights give the bias") {
    std::vector<float> weight(20 * 16), x(16, 1.0f), y(20, NAN), bias(20);
    for (int i = 0; i < 20; ++i) bias[static_cast<size_t>(i)] = static_cast<float>(i);
    weight[5 * 16 + 3] = 2;
    for (SparsePattern pattern : kPatterns) {
        sparse::prepare({1, 1, 1, 16, 1, 1, 20, 1, 1}, weight.data(), pattern)
            ->forward(1, x.data(), Epilogue{bias.data()}, y.data());
        for (int i = 0; i < 20; ++i) CHECK(y[static_cast<size_t>(i)] == static_cast<float>(i == 5 ? 7 : i));
    }
}

TEST_CASE("a sparse filter is as small as its pattern allows") {
    const auto bytes = [](SparsePattern pattern, double density) {
        const auto weight = sparse_weights(pattern, 256, 9, 256, density, 7);
        const SparseFilter filter(pattern, 256, 9, 256, 1, weight.data(), 32);
        return static_cast<double>(filter.bytes()) / static_cast<double>(filter.stored());
    };
    CHECK(bytes(SparsePattern::unstructured, 0.1) < 8.2);
    CHECK(bytes(SparsePattern::row_blocks, 0.1) < 5.2);
    CHECK(bytes(SparsePattern::column_blocks, 0.1) < 5.2);
    CHECK(bytes(SparsePattern::two_of_four, 1.0) < 4.3);
    CHECK(bytes(SparsePattern::one_of_four, 1.0) < 4.3);
}

TEST_CASE("filters that do not fit their pattern are errors") {
    const std::vector<float> weight(8 * 6, 1.0f);
    CHECK_THROWS_WITH_AS(SparseFilter(SparsePattern::two_of_four, 8, 1, 6, 1, weight.data(), 16),
                         "sparse filter: 2:4 expected input channels (per group) divisible by 4, got 6", Error);
    CHECK_THROWS_WITH_AS(SparseFilter(SparsePattern::two_of_four, 6, 1, 8, 1, weight.data(), 16),
                         "sparse filter: 2:4 expected at most 2 weights of 4 other than zero, got more in output "
                         "channel 0",
                         Error);
}

TEST_CASE("the pattern of sparse weights is recognized") {
    const Conv2dShape g{32, 8, 8, 64, 8, 8, 64, 3, 3, 1, 1, 1, 1};
    for (SparsePattern pattern : kPatterns) {
        CAPTURE(std::string(name_of(pattern)));
        const double density =
            pattern == SparsePattern::one_of_four || pattern == SparsePattern::two_of_four ? 0.8 : 0.1;
        CHECK(sparse::pattern_of(g, sparse_weights(pattern, 64, 9, 64, density, 2).data()) == pattern);
    }
}

TEST_CASE("sparse kernels are chosen from where they win") {
    const Conv2dShape winograd{32, 8, 8, 64, 8, 8, 64, 3, 3, 1, 1, 1, 1},
        strided{32, 8, 8, 64, 4, 4, 64, 3, 3, 2, 2, 1, 1};
    const Conv2dShape one_pixel{1, 1, 1, 64, 1, 1, 64, 1, 1},
        depthwise{32, 8, 8, 64, 8, 8, 64, 3, 3, 1, 1, 1, 1, 1, 1, 64};
    CHECK_FALSE(sparse::faster(winograd, SparsePattern::unstructured, 0.75));
    CHECK(sparse::faster(winograd, SparsePattern::unstructured, 0.9));
    CHECK(sparse::faster(strided, SparsePattern::two_of_four, 0.5));
    CHECK_FALSE(sparse::faster(one_pixel, SparsePattern::unstructured, 0.99));
    CHECK_FALSE(sparse::faster(depthwise, SparsePattern::unstructured, 0.99));

    const auto dense = random_values<float>(64 * 9 * 64, 1);
    const auto pruned = sparse_weights(SparsePattern::unstructured, 64, 9, 64, 0.1, 1);
    CHECK(sparse::prepare_fastest(winograd, dense.data())->bytes() == conv2d_prepare(winograd, dense.data())->bytes());
    CHECK(sparse::prepare_fastest(winograd, pruned.data())->bytes() ==
          sparse::prepare(winograd, pruned.data())->bytes());
}
