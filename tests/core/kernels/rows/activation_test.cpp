#include <doctest/doctest.h>

#include <cmath>

#include "lathe/core/kernels/rows/activation.h"
#include "lathe/core/kernels/rows/activation_portable.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/core/kernels/random_values.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

constexpr Activation kAll[] = {Activation::none,         Activation::relu,    Activation::relu6, Activation::hard_swish,
                               Activation::hard_sigmoid, Activation::sigmoid, Activation::tanh,  Activation::gelu};
constexpr float kGuard = 12345;

// From -10 to 10, the kinks among them.
std::vector<float> ramp(int64_t n) {
    std::vector<float> x(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i)
        x[i] = i % 11 ? -10 + 20 * static_cast<float>(i) / static_cast<float>(n) : static_cast<float>(i % 7 - 3);
    return x;
}

}  // namespace

TEST_CASE("activation kernels agree with the float64 reference on every length, and write nothing else") {
    for_each_isa([&] {
        for (Activation activation : kAll)
            for (int64_t n : {1, 2, 7, 15, 16, 17, 33, 63, 1000}) {
                INFO(std::string(name_of(activation)), " ", n);
                const auto x = ramp(n + 1), dy = random_values<float>(n + 1, 2);
                std::vector<float> y(n + 2, kGuard), dx(n + 2, kGuard);
                table().activation.forward(activation, n, x.data() + 1, y.data() + 1);  // not aligned to a vector
                const float* saved = derivative_needs_input(activation) ? x.data() + 1 : y.data() + 1;
                table().activation.backward(activation, n, saved, dy.data() + 1, dx.data() + 1);
                int64_t wrong = 0;
                for (int64_t i = 0; i < n; ++i) {
                    const double value = portable::activate<double>(activation, x[i + 1]);
                    const double slope = portable::derivative<double>(activation, saved[i]);
                    wrong += !(std::abs(y[i + 1] - value) <= 5e-7 * std::abs(value));
                    wrong += !(std::abs(dx[i + 1] - slope * dy[i + 1]) <= 3e-7 * std::abs(dy[i + 1]));
                }
                CHECK(wrong == 0);
                CHECK((y[0] == kGuard && y[n + 1] == kGuard && dx[0] == kGuard && dx[n + 1] == kGuard));
            }
    });
}

TEST_CASE("activation kernels at the ends of the range") {
    const float infinity = INFINITY;
    for_each_isa([&] {
        auto at = [&](Activation activation, float x) {
            float y;
            table().activation.forward(activation, 1, &x, &y);
            return y;
        };
        for (float x : {100.0f, 3e38f, infinity}) {
            CHECK(at(Activation::sigmoid, x) == 1);
            CHECK(at(Activation::sigmoid, -x) <= 1e-37f);
            CHECK(at(Activation::tanh, x) == 1);
            CHECK(at(Activation::tanh, -x) == -1);
            CHECK(at(Activation::gelu, x) == x);
            CHECK(at(Activation::relu6, x) == 6);
        }
        CHECK(at(Activation::tanh, 0) == 0);
        CHECK(at(Activation::tanh, 1e-20f) == 1e-20f);
        CHECK(std::abs(at(Activation::gelu, -100)) <= 1e-35f);
    });
}

TEST_CASE("activations give the same bits for one and two threads") {
    const int before = threads();
    const int64_t n = 100003;
    const auto x = ramp(n);
    std::vector<float> y[2];
    for (int count : {1, 2}) {
        set_threads(count);
        y[count - 1].resize(n);
        activation_forward(Activation::gelu, n, x.data(), y[count - 1].data());
    }
    CHECK(y[0] == y[1]);
    set_threads(before);
}
