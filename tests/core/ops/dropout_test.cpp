#include "lathe/core/ops/dropout.h"

#include <doctest/doctest.h>

#include <cstring>

#include "lathe/core/parallel.h"
#include "lathe/tests/support/op_cases.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

const bool registered = register_cases({
    {"dropout", "the same mask each time", {{7, 9}}, [](const auto& in) {
         seed(11);
         return ops::dropout(in[0], 0.4, true);
     }},
});

}  // namespace

TEST_CASE("dropout is the identity when not training") {
    const Tensor x = Tensor::full({3}, 2);
    CHECK(ops::dropout(x, 0.5, false).value().shares_storage(x));
    CHECK(ops::dropout(x, 0, true).value().shares_storage(x));
    CHECK_THROWS_AS(ops::dropout(x, 1, true), Error);
    CHECK_THROWS_AS(ops::dropout(x, -0.1, true), Error);
}

TEST_CASE("dropout drops the given share, keeps the mean and repeats from the generator's position") {
    const Tensor x = Tensor::full({1000, 101}, 1);
    seed(5);
    const uint64_t position = global_random().position();
    const Tensor y = ops::dropout(x, 0.3, true).value();
    int64_t dropped = 0;
    for (int64_t i = 0; i < y.numel(); ++i) {
        if (y.at(i) == 0) ++dropped;
        else REQUIRE(y.at(i) == doctest::Approx(1 / 0.7));
    }
    CHECK(static_cast<double>(dropped) / static_cast<double>(y.numel()) == doctest::Approx(0.3).epsilon(0.02));
    const Tensor other = ops::dropout(x, 0.3, true).value();
    CHECK(std::memcmp(other.raw(), y.raw(), y.bytes()) != 0);
    global_random().seek(position);
    set_threads(1);
    const Tensor again = ops::dropout(x, 0.3, true).value();
    CHECK(std::memcmp(again.raw(), y.raw(), y.bytes()) == 0);
}
