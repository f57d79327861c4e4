#include <doctest/doctest.h>

#include <array>

#include "lathe/tests/core/kernels/random_values.h"

// The exercise of core/README.md, stop 3, solved: Winograd's F(2, 3), two results of three taps from four products.
namespace {

using Line = std::array<double, 4>;
using Taps = std::array<double, 3>;

// G g: the values of the filter's polynomial at 0, 1, -1 and infinity.
Line filter_points(const Taps& g) { return {g[0], (g[0] + g[1] + g[2]) / 2, (g[0] - g[1] + g[2]) / 2, g[2]}; }

// B^T d: what each of them is multiplied with. Only additions.
Line pixel_points(const Line& d) { return {d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]}; }

// A^T [(G g) * (B^T d)].
std::array<double, 2> two_results(const Line& d, const Taps& g) {
    const Line u = filter_points(g), v = pixel_points(d);
    Line m;
    for (size_t i = 0; i < 4; ++i) m[i] = u[i] * v[i];
    return {m[0] + m[1] + m[2], m[1] - m[2] - m[3]};
}

}  // namespace

TEST_CASE("two results of three taps from four products, as in the worked example and for any line") {
    const auto worked = two_results({1, 2, 3, 4}, {1, 10, 100});
    CHECK(worked[0] == 321);
    CHECK(worked[1] == 432);
    const auto values = random_values<double>(7 * 20, 1);
    for (size_t at = 0; at < values.size(); at += 7) {
        const double *d = values.data() + at, *g = d + 4;
        const auto y = two_results({d[0], d[1], d[2], d[3]}, {g[0], g[1], g[2]});
        for (size_t i = 0; i < 2; ++i)
            CHECK(y[i] == doctest::Approx(d[i] * g[0] + d[i + 1] * g[1] + d[i + 2] * g[2]).epsilon(1e-12));
    }
}
