#include "lathe/compress/quantize/observer.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::testing;
using namespace lathe::compress;

namespace {

Observed observed(const std::vector<Tensor>& batches) {
    Observed seen;
    for (const Tensor& x : batches) seen.see_ends(x);
    for (const Tensor& x : batches) seen.see_values(x);
    return seen;
}

// The mean squared error of going through the integers of that range.
double true_error(const Tensor& x, const Range& range, int bits) {
    const Grid grid = asymmetric(range, bits);
    const Tensor y = dequantize(quantize(x, grid), grid);
    double sum = 0;
    for (int64_t i = 0; i < x.numel(); ++i) sum += std::pow(y.at(i) - x.at(i), 2);
    return sum / static_cast<double>(x.numel());
}

Tensor with_outlier(Tensor x, float outlier) {
    x.mutable_data<float>()[x.numel() / 2] = outlier;
    return x;
}

Tensor relu(const Tensor& x) {
    Tensor y = x.clone();
    for (int64_t i = 0; i < y.numel(); ++i) y.mutable_data<float>()[i] = std::max(0.f, x.data<float>()[i]);
    return y;
}

}  // namespace

TEST_CASE("observers: min-max and moving average by hand, always with zero") {
    const Observed seen = observed({Tensor::of<float>({2}, {1, 3}), Tensor::of<float>({2}, {2, 13})});
    CHECK(seen.ends() == Range{1, 13});
    CHECK(seen.range(Observer::min_max, 8) == Range{0, 13});
    CHECK(seen.range(Observer::moving_average, 8).high == doctest::Approx(0.9 * 3 + 0.1 * 13));
    CHECK(observed({Tensor::full({4}, -2)}).range(Observer::min_max, 8) == Range{-2, 0});
    for (Observer observer : plain_observers()) {
        const Range constant = observed({Tensor::full({9}, 2)}).range(observer, 8);
        CHECK(constant.low == 0);
        CHECK(constant.high >= 0);
        CHECK(observed({Tensor::zeros({9})}).range(observer, 8) == Range{});
        CHECK(observer_of(name_of(observer)) == observer);
    }
}

TEST_CASE("percentile leaves five of a hundred thousand values out at each end") {
    Tensor x({200000});
    for (int64_t i = 0; i < x.numel(); ++i) x.mutable_data<float>()[i] = static_cast<float>(i - 100000) / 100000;
    const Range range = observed({with_outlier(x, 50)}).range(Observer::percentile, 8);
    CHECK(range.low == doctest::Approx(-1).epsilon(0.03));
    CHECK(range.high == doctest::Approx(1).epsilon(0.03));
}

TEST_CASE("the error told by the histogram is the error, and mse finds the range where it is least") {
    for (int bits : {3, 4, 8})
        for (const Tensor& x : {random_tensor({20000}, 1), relu(random_tensor({20000}, 2)),
                                with_outlier(random_tensor({20000}, 3), 20)}) {
            const Observed seen = observed({x});
            const Range best = seen.range(Observer::mse, bits), full = seen.range(Observer::min_max, bits);
            const Observed::Error error = seen.error(best, bits);
            CHECK(error.rounding + error.clipping == doctest::Approx(true_error(x, best, bits)).epsilon(0.05));
            CHECK(true_error(x, best, bits) <= true_error(x, full, bits));
            for (double share : {0.3, 0.5, 0.7, 0.9})
                CHECK(true_error(x, best, bits) <=
                      1.02 * true_error(x, {full.low * share, full.high * share}, bits));
        }
    // Known for normal values: 2 bits around zero clip near two deviations.
    const Range known = observed({random_tensor({50000}, 4)}).range(Observer::mse, 4);
    CHECK(known.high == doctest::Approx(2.5).epsilon(0.15));
}

TEST_CASE("entropy draws in the range where a few values stand far out") {
    const Observed seen = observed({with_outlier(relu(random_tensor({20000}, 5)), 40)});
    const Range range = seen.range(Observer::entropy, 8);
    CHECK(range.low == 0);
    CHECK(range.high < 20);
    CHECK(range.high > 2);
}

TEST_CASE("the share of clipping and rounding, and the ratio to the signal") {
    const Observed seen = observed({random_tensor({50000}, 6)});
    const Observed::Error wide = seen.error({-5, 5}, 8), narrow = seen.error({-1, 1}, 8);
    CHECK(wide.clipping < 0.01 * wide.rounding);
    CHECK(narrow.clipping > 100 * narrow.rounding);
    CHECK(wide.signal == doctest::Approx(1).epsilon(0.03));
    // Uniform rounding errors have the mean square step^2 / 12.
    CHECK(wide.snr() == doctest::Approx(10 * std::log10(12 * std::pow(255 / 10., 2))).epsilon(0.02));
}

TEST_CASE("observers: nothing seen, NaN, unknown names") {
    CHECK(message_of([] { Observed().range(Observer::min_max, 8); }) == "calibration: expected at least one image");
    CHECK(message_of([] { Observed().see_ends(Tensor::full({2}, NAN)); }) ==
          "quantization: expected finite values, got NaN or infinity");
    CHECK(message_of([] { observer_of("mes"); }) == "unknown observer 'mes'; did you mean 'mse'?");
    CHECK(message_of([] { observed({Tensor::full({1}, 1)}).range(Observer::automatic, 8); }) ==
          "calibration: expected an observer that looks at one place alone, got auto");
}
