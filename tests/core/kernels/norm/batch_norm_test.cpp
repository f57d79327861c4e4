#include "lathe/core/kernels/norm/batch_norm.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lathe/core/kernels/norm/batch_norm_portable.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/core/kernels/random_values.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

constexpr Activation kFused[] = {Activation::none, Activation::relu, Activation::relu6, Activation::hard_swish};

template <class T>
struct Data {
    std::vector<T> x, dy, mean, scale, bias, slope, constant;
    Data(int64_t n, int64_t c)
        : x(random_values<T>(n * c, 1)), dy(random_values<T>(n * c, 2)), mean(random_values<T>(c, 3)),
          scale(random_values<T>(c, 4)), bias(random_values<T>(c, 5)), slope(random_values<T>(c, 6)),
          constant(random_values<T>(c, 7)) {}
    ChannelAffine<T> affine(Activation activation) const {
        return {mean.data(), scale.data(), bias.data(), activation};
    }
    ChannelGradient<T> gradient() const { return {slope.data(), constant.data()}; }
};

// Sums of n terms of magnitude around one.
void expect_near(const std::vector<float>& got, const std::vector<double>& expected, double tolerance) {
    int64_t wrong = 0;
    for (size_t i = 0; i < got.size(); ++i)
        wrong += !(std::abs(got[i] - expected[i]) <= tolerance * (1 + std::abs(expected[i])));
    CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("batch norm kernels agree with the float64 reference on odd sizes") {
    using Portable = portable::BatchNorm<double>;
    for_each_isa([&] {
        for (int64_t rows : {1, 3, 4, 6, 13})
            for (int64_t width : {1, 5, 16, 31, 64, 100})
                for (Activation activation : kFused) {
                    INFO(rows, "x", width, " ", std::string(name_of(activation)));
                    const BatchNormTable& kernels = table().batch_norm;
                    const Data<float> a(rows, width);
                    const Data<double> b(rows, width);
                    const auto affine = a.affine(activation);
                    const auto reference = b.affine(activation);
                    // Accumulated onto what is there.
                    auto sum = random_values<float>(width, 8), product = random_values<float>(width, 9);
                    auto sum64 = random_values<double>(width, 8), product64 = random_values<double>(width, 9);
                    kernels.sums(rows, width, a.x.data(), a.dy.data(), affine, sum.data(), product.data());
                    Portable::sums(rows, width, b.x.data(), b.dy.data(), reference, sum64.data(), product64.data());
                    expect_near(sum, sum64, 1e-5);
                    expect_near(product, product64, 1e-5);
                    kernels.moments(rows, width, a.x.data(), a.mean.data(), sum.data(), product.data());
                    Portable::moments(rows, width, b.x.data(), b.mean.data(), sum64.data(), product64.data());
                    expect_near(sum, sum64, 1e-5);
                    expect_near(product, product64, 1e-5);

                    std::vector<float> y(rows * width), dx(rows * width);
                    std::vector<double> y64(rows * width), dx64(rows * width);
                    kernels.forward(rows, width, a.x.data(), affine, y.data(), false);
                    Portable::forward(rows, width, b.x.data(), reference, y64.data(), false);
                    expect_near(y, y64, 1e-6);
                    kernels.backward(rows, width, a.x.data(), a.dy.data(), affine, a.gradient(), dx.data());
                    Portable::backward(rows, width, b.x.data(), b.dy.data(), reference, b.gradient(), dx64.data());
                    expect_near(dx, dx64, 2e-6);
                }
    });
}

TEST_CASE("batch norm over many rows: float32 as float64, the same bits for one and two threads, dx over dy") {
    const int before = threads();
    for (auto [n, c] :
         {std::pair<int64_t, int64_t>{5003, 24}, {25001, 3}, {70001, 1}, {513, 160}, {3, 40}, {5000, 16}}) {
        INFO(n, "x", c);
        const Data<float> a(n, c);
        const Data<double> b(n, c);
        std::vector<double> mean(c), variance(c), mean64(c), variance64(c), sum(c), product(c), sum64(c), product64(c);
        channel_moments(n, c, b.x.data(), mean64.data(), variance64.data());
        batch_norm_sums(n, c, b.x.data(), b.dy.data(), b.affine(Activation::relu), sum64.data(), product64.data());

        std::vector<float> y[2], dx[2];
        std::vector<double> sums[2];
        for (int count : {1, 2}) {
            set_threads(count);
            y[count - 1].resize(n * c);
            dx[count - 1] = a.dy;
            channel_moments(n, c, a.x.data(), mean.data(), variance.data());
            batch_norm_sums(n, c, a.x.data(), a.dy.data(), a.affine(Activation::relu), sum.data(), product.data());
            batch_norm_forward(n, c, a.x.data(), a.affine(Activation::relu), y[count - 1].data());
            float* d = dx[count - 1].data();
            batch_norm_backward(n, c, a.x.data(), d, a.affine(Activation::relu), a.gradient(), d);
            for (const auto* part : {&mean, &variance, &sum, &product})
                sums[count - 1].insert(sums[count - 1].end(), part->begin(), part->end());
        }
        CHECK(sums[0] == sums[1]);
        CHECK(y[0] == y[1]);
        CHECK(dx[0] == dx[1]);

        std::vector<double> y64(n * c), dx64(n * c);
        batch_norm_forward(n, c, b.x.data(), b.affine(Activation::relu), y64.data());
        batch_norm_backward(n, c, b.x.data(), b.dy.data(), b.affine(Activation::relu), b.gradient(), dx64.data());
        expect_near(y[0], y64, 1e-6);
        expect_near(dx[0], dx64, 2e-6);
        for (int64_t k = 0; k < c; ++k) {
            CHECK(std::abs(mean[k] - mean64[k]) <= 1e-7);
            CHECK(std::abs(variance[k] - variance64[k]) <= 1e-6 * variance64[k]);
            CHECK(std::abs(sum[k] - sum64[k]) <= 1e-6 * static_cast<double>(n));
            CHECK(std::abs(product[k] - product64[k]) <= 1e-6 * static_cast<double>(n));
        }
    }
    set_threads(before);
}

TEST_CASE("batch norm of no rows: sums of zero, nothing written") {
    for (int64_t c : {1, 16, 40}) {
        const Data<float> a(0, c);
        const auto affine = a.affine(Activation::relu);
        std::vector<double> mean(c, NAN), variance(c, NAN), sum(c, NAN), product(c, NAN);
        channel_moments<float>(0, c, nullptr, mean.data(), variance.data());
        batch_norm_sums<float>(0, c, nullptr, nullptr, affine, sum.data(), product.data());
        for (const auto& part : {mean, variance, sum, product}) CHECK(part == std::vector<double>(c, 0.0));
        batch_norm_forward<float>(0, c, nullptr, affine, nullptr);
        batch_norm_backward<float>(0, c, nullptr, nullptr, affine, a.gradient(), nullptr);
    }
}
