#include <doctest/doctest.h>

#include "lathe/core/ops/concat.h"
#include "lathe/core/ops/pad.h"
#include "lathe/core/ops/reshape.h"
#include "lathe/core/ops/slice.h"
#include "lathe/core/ops/sum.h"
#include "lathe/tests/support/op_cases.h"
#include "lathe/tests/support/recorded.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

// Uses both parts of a split, unequally.
Variable split_and_join(const std::vector<Variable>& in) {
    const auto parts = ops::split(in[0], {2, 1, 4}, 1);
    return ops::concat({parts[2], parts[0], parts[2]}, 1);
}

const bool registered = register_cases({
    {"reshape",
     "-1",
     {{3, 4, 5}},
     [](const auto& in) {
         return ops::reshape(in[0], {2, -1});
     }},
    {"reshape",
     "first extent and another kept",
     {{3, 4, 5}},
     [](const auto& in) {
         return ops::reshape(in[0], {0, 5, -1});
     }},
    {"flatten", "images", {{2, 3, 3, 2}}, [](const auto& in) { return ops::flatten(in[0]); }},
    {"slice", "outermost axis", {{5, 3}}, [](const auto& in) { return ops::slice(in[0], 0, 1, 3); }},
    {"slice", "middle axis", {{2, 5, 3}}, [](const auto& in) { return ops::slice(in[0], 1, 2, 3); }},
    {"slice", "innermost axis", {{2, 5, 3}}, [](const auto& in) { return ops::slice(in[0], -1, 2, 1); }},
    {"split", "channels", {{3, 7, 1}}, split_and_join},
    {"concat",
     "outermost axis",
     {{1, 3}, {2, 3}},
     [](const auto& in) {
         return ops::concat({in[0], in[1]}, 0);
     }},
    {"concat", "channels", {{2, 3, 2}, {2, 3, 1}, {2, 3, 5}}, [](const auto& in) { return ops::concat(in, -1); }},
    {"pad", "images", {{2, 3, 3, 2}}, [](const auto& in) { return ops::pad(in[0], ops::Padding(1, 0, 2, 3), 0.5); }},
    {"pad",
     "every axis",
     {{2, 3}},
     [](const auto& in) {
         return ops::pad(in[0], {{1, 2}, {0, 1}});
     }},
    {"pad_channels", "an odd number", {{2, 1, 3}, {8}}, [](const auto& in) { return ops::pad_channels(in[0], in[1]); }},
    {"sum", "all", {{3, 5}}, [](const auto& in) { return ops::sum(in[0]); }},
    {"sum", "axis", {{3, 5, 2}}, [](const auto& in) { return ops::sum(in[0], 1); }},
    {"mean", "all", {{3, 5}}, [](const auto& in) { return ops::mean(in[0]); }},
    {"mean", "last axis, kept", {{3, 5}}, [](const auto& in) { return ops::mean(in[0], -1, true); }},
});

Variable split_reversed(const RecordedInputs& in) {
    const auto parts = ops::split(in["x"], {2, 1, 4}, 1);
    return ops::concat({parts[2], parts[1], parts[0]}, 1);
}

const bool recorded = register_recorded({
    {"reshape", [](const auto& in) { return ops::reshape(in["x"], {6, -1}); }},
    {"flatten", [](const auto& in) { return ops::flatten(in["x"]); }},
    {"slice", [](const auto& in) { return ops::slice(in["x"], 1, 2, 3); }},
    {"split", split_reversed},
    {"concat", [](const auto& in) { return ops::concat({in["a"], in["b"], in["c"]}, -1); }},
    {"pad", [](const auto& in) { return ops::pad(in["x"], ops::Padding(1, 0, 2, 3), 0.5); }},
    {"sum.axis", [](const auto& in) { return ops::sum(in["x"], 1); }},
    {"sum.all", [](const auto& in) { return ops::sum(in["x"]); }},
    {"mean.axis", [](const auto& in) { return ops::mean(in["x"], -1, true); }},
    {"mean.all", [](const auto& in) { return ops::mean(in["x"]); }},
});

// 0, 1, 2, …
Tensor counting(const Shape& shape) {
    Tensor x(shape);
    for (int64_t i = 0; i < x.numel(); ++i) x.mutable_data<float>()[i] = static_cast<float>(i);
    return x;
}

void check_values(const Tensor& y, const Shape& shape, const std::vector<float>& expected) {
    CHECK(y.shape() == shape);
    REQUIRE(y.numel() == static_cast<int64_t>(expected.size()));
    for (size_t i = 0; i < expected.size(); ++i) CHECK(y.at(static_cast<int64_t>(i)) == expected[i]);
}

}  // namespace

TEST_CASE("reshape and flatten share the elements and fill in -1") {
    const Tensor x = counting({2, 3, 4});
    CHECK(ops::reshape(x, {-1, 6}).shape() == Shape{4, 6});
    CHECK(ops::flatten(x).shape() == Shape{2, 12});
    CHECK(ops::flatten(x).value().shares_storage(x));
    CHECK_THROWS_AS(ops::reshape(x, {5, -1}), Error);
    CHECK_THROWS_AS(ops::reshape(x, {-1, -1}), Error);
    CHECK(ops::reshape(x, {-1, 0}).shape() == Shape{8, 3});  // 0: as in x at that place
    CHECK(ops::reshape(x, {0, 2, 6}).shape() == Shape{2, 2, 6});
    CHECK_THROWS_AS(ops::reshape(x, {-2, 12}), Error);
    CHECK_THROWS_AS(ops::reshape(x, {23}), Error);
}

TEST_CASE("slices take a range along any axis") {
    const Tensor x = counting({2, 3, 2});
    check_values(ops::slice(x, 0, 1, 1).value(), {1, 3, 2}, {6, 7, 8, 9, 10, 11});
    check_values(ops::slice(x, 1, 1, 2).value(), {2, 2, 2}, {2, 3, 4, 5, 8, 9, 10, 11});
    check_values(ops::slice(x, 2, 1, 1).value(), {2, 3, 1}, {1, 3, 5, 7, 9, 11});
    CHECK_THROWS_AS(ops::slice(x, 1, 2, 2), Error);
    CHECK_THROWS_AS(ops::slice(x, 1, -1, 2), Error);
    CHECK_THROWS_AS(ops::slice(x, 3, 0, 1), Error);
    CHECK_THROWS_AS(ops::split(x, {1, 1}, 1), Error);
}

TEST_CASE("concat joins along any axis") {
    const Tensor x = counting({2, 1, 2}), z = counting({2, 2, 2});
    check_values(ops::concat({x, z}, 1).value(), {2, 3, 2}, {0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 6, 7});
    CHECK_THROWS_AS(ops::concat({x, z}, 0), Error);
    CHECK_THROWS_AS(ops::concat({x, counting({2, 1})}, 1), Error);
    CHECK_THROWS_AS(ops::concat({}, 0), Error);
}

TEST_CASE("pad surrounds an image, unevenly") {
    const Tensor x = counting({1, 1, 2, 1});
    check_values(ops::pad(x, ops::Padding(1, 0, 0, 2), 9).value(), {1, 2, 4, 1}, {9, 9, 9, 9, 0, 1, 9, 9});
    CHECK(ops::pad(x, ops::Padding(0)).value().shares_storage(x));
    CHECK_THROWS_AS(ops::pad(x, ops::Padding(-1)), Error);
    CHECK_THROWS_AS(ops::pad(x, {{1, 1}}), Error);
}

TEST_CASE("sums and means, over everything and along an axis") {
    const Tensor x = counting({2, 3});
    CHECK(ops::sum(x).value().item() == 15);
    CHECK(ops::mean(x).value().item() == 2.5);
    check_values(ops::sum(x, 0).value(), {3}, {3, 5, 7});
    check_values(ops::mean(x, 1, true).value(), {2, 1}, {1, 4});
    CHECK(ops::sum(counting({0})).value().item() == 0);
    CHECK_THROWS_AS(ops::mean(counting({0, 3})), Error);
}
