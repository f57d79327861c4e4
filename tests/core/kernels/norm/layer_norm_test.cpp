#include "lathe/core/kernels/norm/layer_norm.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lathe/core/kernels/norm/layer_norm_portable.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/core/kernels/random_values.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

// Everything that layer norm computes, one array after the other, from the same numbers for every T.
template <class T, class Kernels>
std::vector<T> run(const Kernels& kernels, int64_t rows, int64_t width) {
    auto x = random_values<T>(rows * width, 1);
    for (T& v : x) v += 5;
    const auto dy = random_values<T>(rows * width, 2), weight = random_values<T>(width, 3),
               bias = random_values<T>(width, 4);
    std::vector<T> y(rows * width), dx(rows * width), mean(rows), inv_std(rows);
    auto dweight = random_values<T>(width, 5), dbias = random_values<T>(width, 6);  // added to
    kernels.forward(rows, width, x.data(), weight.data(), bias.data(), T(0.01), y.data(), mean.data(), inv_std.data());
    kernels.backward(rows, width, x.data(), dy.data(), weight.data(), mean.data(), inv_std.data(), dx.data(),
                     dweight.data(), dbias.data());
    for (const auto& part : {dx, mean, inv_std, dweight, dbias}) y.insert(y.end(), part.begin(), part.end());
    return y;
}

}  // namespace

TEST_CASE("layer norm kernels agree with the float64 reference on odd sizes") {
    for_each_isa([&] {
        for (int64_t rows : {1, 5})
            for (int64_t width : {2, 3, 15, 16, 17, 64, 301}) {
                INFO(rows, "x", width);
                const auto got = run<float>(table().layer_norm, rows, width);
                const auto expected = run<double>(portable::LayerNorm<double>{}, rows, width);
                int64_t wrong = 0;
                for (size_t i = 0; i < got.size(); ++i)
                    wrong += !(std::abs(got[i] - expected[i]) <= 1e-5 * (1 + std::abs(expected[i])));
                CHECK(wrong == 0);
            }
    });
}

TEST_CASE("layer norm over many rows: the same bits for one and two threads, dx over dy") {
    const int before = threads();
    const int64_t rows = 5003, width = 37;
    const auto x = random_values<float>(rows * width, 1), weight = random_values<float>(width, 3),
               bias = random_values<float>(width, 4);
    std::vector<float> y[2], dx[2], dweight[2], dbias[2], mean(rows), inv_std(rows);
    for (int i : {0, 1}) {
        set_threads(i + 1);
        y[i].resize(rows * width);
        dx[i] = random_values<float>(rows * width, 2);
        dweight[i].resize(width);
        dbias[i].resize(width);
        layer_norm_forward(rows, width, x.data(), weight.data(), bias.data(), 1e-5, y[i].data(), mean.data(),
                           inv_std.data());
        layer_norm_backward(rows, width, x.data(), dx[i].data(), weight.data(), mean.data(), inv_std.data(),
                            dx[i].data(), dweight[i].data(), dbias[i].data());
    }
    CHECK(y[0] == y[1]);
    CHECK(dx[0] == dx[1]);
    CHECK(dweight[0] == dweight[1]);
    CHECK(dbias[0] == dbias[1]);
    set_threads(before);
}

TEST_CASE("layer norm of no rows: weights without a gradient, nothing written") {
    const int64_t width = 37;
    const auto weight = random_values<float>(width, 3), bias = random_values<float>(width, 4);
    std::vector<float> dweight(width, NAN), dbias(width, NAN);
    layer_norm_forward<float>(0, width, nullptr, weight.data(), bias.data(), 1e-5, nullptr, nullptr, nullptr);
    layer_norm_backward<float>(0, width, nullptr, nullptr, weight.data(), nullptr, nullptr, nullptr, dweight.data(),
                               dbias.data());
    CHECK(dweight == std::vector<float>(width, 0.0f));
    CHECK(dbias == std::vector<float>(width, 0.0f));
}
