#include "lathe/tests/support/recorded.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace lathe::testing {

Variable RecordedInputs::operator[](const std::string& name) const {
    const auto found = values.find(name);
    return found == values.end() ? Variable() : found->second;
}

const Tensor& RecordedInputs::tensor(const std::string& name) const {
    const auto found = values.find(name);
    check(found != values.end(), "recorded case: no input '", name, "'");
    return found->second.value();
}

double largest_magnitude(const Tensor& x) {
    double found = 0;
    for (int64_t i = 0; i < x.numel(); ++i) found = std::max(found, std::abs(x.at(i)));
    return found;
}

double relative_difference(const Tensor& got, const Tensor& expected) {
    constexpr double kNever = std::numeric_limits<double>::infinity();
    if (!got || got.shape() != expected.shape()) return kNever;
    double difference = 0;
    for (int64_t i = 0; i < expected.numel(); ++i) {
        if (!(std::abs(got.at(i) - expected.at(i)) <= difference)) difference = std::abs(got.at(i) - expected.at(i));
        if (std::isnan(difference)) return kNever;
    }
    return difference == 0 ? 0 : difference / largest_magnitude(expected);
}

}  // namespace lathe::testing
