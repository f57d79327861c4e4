#include "lathe/nas/predict/rank_correlation.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "lathe/core/random.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::nas;
using Numbers = std::vector<double>;

namespace {

// By definition, pair by pair.
double slow_tau(const Numbers& a, const Numbers& b) {
    double agree = 0, of_a = 0, of_b = 0;
    const auto sign = [](double x) { return (x > 0) - (x < 0); };
    for (size_t i = 0; i < a.size(); ++i)
        for (size_t j = 0; j < i; ++j) {
            agree += sign(a[i] - a[j]) * sign(b[i] - b[j]);
            of_a += a[i] != a[j];
            of_b += b[i] != b[j];
        }
    return agree / std::sqrt(of_a * of_b);
}

}  // namespace

TEST_CASE("rank correlations of lists that are known") {
    const Numbers a{1, 2, 3, 4, 5};
    CHECK(kendall_tau(a, a) == doctest::Approx(1));
    CHECK(spearman(a, Numbers{5, 4, 3, 2, 1}) == doctest::Approx(-1));
    CHECK(kendall_tau(a, Numbers{3, 1, 2, 5, 4}) == doctest::Approx(0.4));  // 7 pairs in order, 3 not
    CHECK(spearman(a, Numbers{3, 1, 2, 5, 4}) == doctest::Approx(0.6));     // 1 - 6 x 8 / (5 x 24)
    CHECK(spearman(Numbers{1, 1, 2}, Numbers{1, 2, 3}) == doctest::Approx(std::sqrt(0.75)));
    CHECK(std::isnan(kendall_tau(Numbers{1, 1}, Numbers{1, 2})));
    CHECK(std::isnan(spearman(Numbers{}, Numbers{})));
    CHECK(lathe::testing::message_of([&] { kendall_tau(a, Numbers{1}); }) ==
          "rank correlation: expected two lists of one length, got 5 and 1");
}

TEST_CASE("Kendall's tau by merging is that by its definition, with ties") {
    Random random(1);
    for (int64_t size : {2, 3, 17, 100}) {
        Numbers a, b;
        for (int64_t i = 0; i < size; ++i) {
            a.push_back(static_cast<double>(random.below(size)));
            b.push_back(a.back() + static_cast<double>(random.below(size)));
        }
        a[0] = -1, b[0] = -1;
        CHECK(kendall_tau(a, b) == doctest::Approx(slow_tau(a, b)));
    }
}
