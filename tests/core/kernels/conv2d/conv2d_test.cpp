#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "lathe/core/kernels/conv2d/algorithms.h"
#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/core/kernels/conv2d/conv2d_cases.h"
#include "lathe/tests/core/kernels/indexed_weights.h"
#include "lathe/tests/core/kernels/random_values.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

// A plain sum of k products errs by about sqrt(k) roundings. Winograd's transforms add and subtract values up to ten
// times as large in each of two directions: 5 to 16 times eps was measured, 32 is the bound.
double tolerance(const Conv2dAlgorithm& algorithm) { return algorithm.name == std::string("winograd4") ? 32 : 4; }

// Random values in float32, the same in float64, and their magnitudes.
struct Values {
    std::vector<float> f32;
    std::vector<double> f64, size;
    Values(int64_t count, unsigned seed)
        : f32(random_values<float>(count, seed)), f64(f32.begin(), f32.end()), size(magnitudes(f64)) {}
};

// What the portable reference makes of the inputs, and the sums of |products| behind each result.
struct Reference {
    Values x, weight, bias, dy;
    std::vector<double> y, y_biased, y_scale, dx, dx_scale, dweight, dweight_scale;

    explicit Reference(const Conv2dShape& g)
        : x(x_size(g), 1),
          weight(weight_size(g), 2),
          bias(g.out_c, 3),
          dy(y_size(g), 4),
          y(dy.f64),
          y_biased(y),
          y_scale(y),
          dx(x.f64),
          dx_scale(dx),
          dweight(weight.f64),
          dweight_scale(dweight) {
        conv2d_forward(g, x.f64.data(), weight.f64.data(), nullptr, y.data());
        conv2d_forward(g, x.f64.data(), weight.f64.data(), bias.f64.data(), y_biased.data());
        conv2d_forward(g, x.size.data(), weight.size.data(), bias.size.data(), y_scale.data());
        conv2d_backward_input(g, dy.f64.data(), weight.f64.data(), dx.data());
        conv2d_backward_input(g, dy.size.data(), weight.size.data(), dx_scale.data());
        conv2d_backward_weight(g, x.f64.data(), dy.f64.data(), dweight.data());
        conv2d_backward_weight(g, x.size.data(), dy.size.data(), dweight_scale.data());
    }
};

void check_forward(const Conv2dAlgorithm& algorithm, const Conv2dShape& g, const Reference& r) {
    const auto layer = algorithm.prepare(g, r.weight.f32.data());
    const float *x = r.x.f32.data(), *bias = r.bias.f32.data();
    std::vector<float> y(r.y.size(), NAN), biased(y), clamped(y), sum(y.size(), 1), first(y.size() / g.batch, 1);
    layer->forward(g.batch, x, {}, y.data());
    CHECK(relative_error(y, r.y, r.y_scale) < tolerance(algorithm));
    std::fill(y.begin(), y.end(), NAN);
    algorithm.forward(g, x, r.weight.f32.data(), {}, y.data());
    CHECK(relative_error(y, r.y, r.y_scale) < tolerance(algorithm));
    layer->forward(g.batch, x, Epilogue{bias}, biased.data());
    CHECK(relative_error(biased, r.y_biased, r.y_scale) < tolerance(algorithm));
    layer->forward(g.batch, x, Epilogue{bias, -0.5f, 1.5f}, clamped.data());
    for (float& v : biased) v = std::clamp(v, -0.5f, 1.5f);
    CHECK(clamped == biased);

    // On top of what y held, and for another batch.
    layer->forward(g.batch, x, Epilogue{.bias = bias, .accumulate = true}, sum.data());
    layer->forward(1, x, Epilogue{.bias = bias, .accumulate = true}, first.data());
    for (float& v : sum) v -= 1;
    for (float& v : first) v -= 1;
    CHECK(relative_error(sum, r.y_biased, r.y_scale) < tolerance(algorithm) + 2);
    CHECK(relative_error(first, {r.y_biased.begin(), r.y_biased.begin() + first.size()}, r.y_scale) <
          tolerance(algorithm) + 2);
}

const char* chosen(const Conv2dShape& g, Conv2dPass pass) { return conv2d_algorithm(g, pass).name; }

}  // namespace

TEST_CASE("every algorithm agrees with the float64 reference on every shape that it suits") {
    for (const Conv2dShape& g : kShapes) {
        CAPTURE(&g - kShapes);
        const Reference r(g);
        for_each_isa([&] {
            for (const Conv2dAlgorithm& algorithm : conv2d_algorithms()) {
                INFO(algorithm.name);
                if (algorithm.suits(g, Conv2dPass::forward)) check_forward(algorithm, g, r);
                if (algorithm.suits(g, Conv2dPass::backward_input)) {
                    std::vector<float> dx(r.dx.size(), NAN);
                    algorithm.backward_input(g, r.dy.f32.data(), r.weight.f32.data(), dx.data());
                    CHECK(relative_error(dx, r.dx, r.dx_scale) < tolerance(algorithm));
                }
                if (algorithm.suits(g, Conv2dPass::backward_weight)) {
                    std::vector<float> dweight(r.dweight.size(), NAN);
                    algorithm.backward_weight(g, r.x.f32.data(), r.dy.f32.data(), dweight.data());
                    CHECK(relative_error(dweight, r.dweight, r.dweight_scale) < tolerance(algorithm));
                }
            }
        });
    }
}

TEST_CASE("convolutions run the first algorithm that suits") {
    for (const Conv2dShape& g : kShapes) {
        CAPTURE(&g - kShapes);
        const Reference r(g);
        std::vector<float> y(r.y.size(), NAN), prepared(y), dx(r.dx.size(), NAN), dweight(r.dweight.size(), NAN);
        std::vector<float> y_row(y), dx_row(dx), dweight_row(dweight);
        const float *x = r.x.f32.data(), *weight = r.weight.f32.data(), *bias = r.bias.f32.data(),
                    *dy = r.dy.f32.data();
        conv2d_forward(g, x, weight, bias, y.data());
        conv2d_prepare(g, weight)->forward(g.batch, x, Epilogue{bias}, prepared.data());
        conv2d_backward_input(g, dy, weight, dx.data());
        conv2d_backward_weight(g, x, dy, dweight.data());
        conv2d_algorithm(g, Conv2dPass::forward).forward(g, x, weight, Epilogue{bias}, y_row.data());
        conv2d_algorithm(g, Conv2dPass::backward_input).backward_input(g, dy, weight, dx_row.data());
        conv2d_algorithm(g, Conv2dPass::backward_weight).backward_weight(g, x, dy, dweight_row.data());
        CHECK(y == y_row);
        CHECK(prepared == y_row);
        CHECK(dx == dx_row);
        CHECK(dweight == dweight_row);
    }
}

TEST_CASE("convolutions have the same bits from indices and from their values") {
    const auto bits_of = [](const PreparedConv2d& layer, const Conv2dShape& g, int64_t batch, bool accumulate) {
        const auto x = random_values<float>(x_size(g), 1), bias = random_values<float>(g.out_c, 3);
        auto y = random_values<float>(y_size(g), 4);
        layer.forward(batch, x.data(), {bias.data(), -0.5f, 1.5f, accumulate}, y.data());
        return y;
    };
    int bits = 0;
    for (const Conv2dShape& g : kShapes) {
        CAPTURE(&g - kShapes);
        bits = bits % 8 + 1;
        const IndexedValues weight(g.out_c, weight_size(g) / g.out_c, bits);
        for_each_isa([&] {
            for (const Conv2dAlgorithm& algorithm : conv2d_algorithms()) {
                if (!algorithm.prepare_indexed || !algorithm.suits(g, Conv2dPass::forward)) continue;
                INFO(algorithm.name);
                const auto values = algorithm.prepare(g, weight.values.data());
                const auto indices = algorithm.prepare_indexed(g, weight.of());
                CHECK(indices->name() == values->name() + " " + std::to_string(bits) + "-bit");
                for (int64_t batch : {g.batch, int64_t{1}, int64_t{0}})
                    CHECK(bits_of(*indices, g, batch, batch == 1) == bits_of(*values, g, batch, batch == 1));
            }
        });
    }
}

TEST_CASE("indices run in the first algorithm that reads them, and are faster where rows are few and weights many") {
    const auto name = [](const Conv2dShape& g) {
        return conv2d_prepare(g, IndexedValues(g.out_c, weight_size(g) / g.out_c, 4).of())->name();
    };
    CHECK(name({1, 1, 1, 512, 1, 1, 10, 1, 1}) == "gemm1x1 4-bit");
    CHECK(name({1, 4, 4, 64, 4, 4, 64, 3, 3, 1, 1, 1, 1}) == "im2col 4-bit");
    CHECK(name({128, 32, 32, 16, 32, 32, 16, 3, 3, 1, 1, 1, 1}) == "direct 4-bit");  // of values: winograd4
    CHECK(name({128, 28, 28, 1, 28, 28, 6, 5, 5, 1, 1, 2, 2}) == "direct 4-bit");    // images

    const Conv2dShape large{4, 1, 1, 4096, 1, 1, 2048, 1, 1}, few{4, 1, 1, 4096, 1, 1, 2047, 1, 1},
        many_rows{5, 1, 1, 4096, 1, 1, 2048, 1, 1};
    CHECK(indexed_is_faster(large, 5) == (table().panel.lanes == 16));
    for (const Conv2dShape& g : {few, many_rows}) CHECK(!indexed_is_faster(g, 5));
    CHECK(!indexed_is_faster(large, 6));
}

TEST_CASE("the shape of a layer says which algorithm runs each pass") {
    struct Choice {
        Conv2dShape shape;
        std::string forward, backward_input, backward_weight;
    };
    const Choice choices[] = {
        // Mobilenetv2.
        {{128, 32, 32, 96, 32, 32, 96, 3, 3, 1, 1, 1, 1, 1, 1, 96}, "depthwise", "depthwise", "depthwise"},
        {{128, 32, 32, 16, 32, 32, 96, 1, 1}, "gemm1x1", "gemm1x1", "gemm1x1"},
        // A linear layer.
        {{1, 1, 1, 512, 1, 1, 10, 1, 1}, "gemm1x1", "gemm1x1", "gemm1x1"},
        {{128, 32, 32, 16, 32, 32, 16, 3, 3, 1, 1, 1, 1}, "winograd4", "winograd4", "winograd4"},            // resnet20
        {{128, 32, 32, 3, 32, 32, 16, 3, 3, 1, 1, 1, 1}, "direct", "images", "direct"},
        {{128, 32, 32, 16, 16, 16, 32, 3, 3, 2, 2, 1, 1}, "direct", "direct", "direct"},
        // Vgg, one image.
        {{1, 4, 4, 512, 4, 4, 512, 3, 3, 1, 1, 1, 1}, "im2col", "winograd4", "winograd4"},
        {{128, 28, 28, 1, 28, 28, 6, 5, 5, 1, 1, 2, 2}, "images", "images", "direct"},                       // lenet5
        // Too few images.
        {{15, 28, 28, 1, 28, 28, 6, 5, 5, 1, 1, 2, 2}, "direct", "direct", "direct"},
        {{128, 14, 14, 6, 10, 10, 16, 5, 5}, "direct", "images", "direct"},
        // Two groups.
        {{128, 16, 16, 8, 16, 16, 8, 3, 3, 1, 1, 1, 1, 1, 1, 2}, "direct", "direct", "direct"},
    };
    for (const Choice& c : choices) {
        CAPTURE(&c - choices);
        CHECK(chosen(c.shape, Conv2dPass::forward) == c.forward);
        CHECK(chosen(c.shape, Conv2dPass::backward_input) == c.backward_input);
        CHECK(chosen(c.shape, Conv2dPass::backward_weight) == c.backward_weight);
        const bool same = c.forward == c.backward_input && c.forward == c.backward_weight;
        CHECK(conv2d_algorithm_names(c.shape) ==
              (same ? c.forward : c.forward + ", " + c.backward_input + ", " + c.backward_weight));
    }
    Conv2dShape exact = choices[3].shape;  // results of the products themselves, gradients as before
    exact.exact = true;
    CHECK(conv2d_algorithm_names(exact) == "direct, winograd4, winograd4");
}

TEST_CASE("no images: no results, and weights without a gradient") {
    for_each_isa([] {
        for (const Conv2dShape& g : kShapes) {
            CAPTURE(&g - kShapes);
            Conv2dShape none = g;
            none.batch = 0;
            const auto weight = random_values<float>(weight_size(g), 2);
            float guard = 7;  // stands for arrays without elements: neither read nor written
            for (const Conv2dAlgorithm& algorithm : conv2d_algorithms()) {
                INFO(algorithm.name);
                if (algorithm.suits(g, Conv2dPass::forward)) {
                    algorithm.prepare(g, weight.data())->forward(0, &guard, {}, &guard);
                    algorithm.prepare(none, weight.data())->forward(0, &guard, {}, &guard);
                }
                if (algorithm.suits(g, Conv2dPass::backward_input))
                    algorithm.backward_input(none, &guard, weight.data(), &guard);
                if (algorithm.suits(g, Conv2dPass::backward_weight)) {
                    std::vector<float> dweight(weight.size(), NAN);
                    algorithm.backward_weight(none, &guard, &guard, dweight.data());
                    CHECK(dweight == std::vector<float>(weight.size(), 0.0f));
                }
            }
            std::vector<float> dweight(weight.size(), NAN);
            conv2d_forward(none, &guard, weight.data(), nullptr, &guard);
            conv2d_backward_input(none, &guard, weight.data(), &guard);
            conv2d_backward_weight(none, &guard, &guard, dweight.data());
            CHECK(dweight == std::vector<float>(weight.size(), 0.0f));
            CHECK(guard == 7);
        }
    });
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
