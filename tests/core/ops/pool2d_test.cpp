#include <doctest/doctest.h>

#include "lathe/core/graph/trace.h"
#include "lathe/core/ops/pool2d.h"
#include "lathe/tests/support/op_cases.h"
#include "lathe/tests/support/recorded.h"

using namespace lathe;
using namespace lathe::testing;
using ops::Padding;
using ops::Pair;

namespace {

GradcheckFn max_pool(Pair kernel, const ops::MaxPool2dOptions& options = {}) {
    return [=](const auto& in) { return ops::max_pool2d(in[0], kernel, options); };
}
GradcheckFn avg_pool(Pair kernel, const ops::AvgPool2dOptions& options = {}) {
    return [=](const auto& in) { return ops::avg_pool2d(in[0], kernel, options); };
}

const bool registered = register_cases({
    {"max_pool2d", "2x2", {{2, 4, 6, 3}}, max_pool(2), distinct},
    {"max_pool2d", "2x2, odd image", {{1, 5, 7, 17}}, max_pool(2), distinct},
    {"max_pool2d", "overlapping, padded", {{2, 7, 5, 3}}, max_pool(3, {.stride = 2, .padding = 1}), distinct},
    {"max_pool2d",
     "uneven",
     {{1, 5, 6, 2}},
     max_pool({3, 2}, {.stride = Pair(1, 2), .padding = {1, 0, 0, 1}}),
     distinct},
    {"max_pool2d", "stride above the kernel", {{1, 9, 7, 2}}, max_pool({2, 3}, {.stride = Pair(4, 5)}), distinct},
    {"max_pool2d", "more places than a byte holds", {{1, 17, 17, 1}}, max_pool(17), distinct},
    {"avg_pool2d", "2x2, odd image", {{1, 5, 7, 17}}, avg_pool(2)},
    {"avg_pool2d", "padding counts", {{2, 7, 5, 3}}, avg_pool(3, {.stride = 2, .padding = 1})},
    {"avg_pool2d",
     "padding does not count",
     {{2, 7, 5, 3}},
     avg_pool(3, {.stride = 2, .padding = {2, 1, 0, 1}, .count_include_pad = false})},
    {"avg_pool2d", "one pixel", {{1, 1, 1, 3}}, avg_pool(1)},
    {"global_avg_pool", "odd image", {{2, 3, 5, 7}}, [](const auto& in) { return ops::global_avg_pool(in[0]); }},
});

RecordedCase recorded_max(const std::string& name, Pair kernel, const ops::MaxPool2dOptions& options = {}) {
    return {"max_pool2d" + name, [=](const RecordedInputs& in) { return ops::max_pool2d(in["x"], kernel, options); }};
}
RecordedCase recorded_avg(const std::string& name, Pair kernel, const ops::AvgPool2dOptions& options = {}) {
    return {"avg_pool2d" + name, [=](const RecordedInputs& in) { return ops::avg_pool2d(in["x"], kernel, options); }};
}

const bool recorded = register_recorded({
    recorded_max("", 2),
    recorded_max(".overlapping", 3, {.stride = 2, .padding = 1}),
    recorded_max(".uneven", {3, 2}, {.stride = Pair(1, 2), .padding = {1, 0}}),
    recorded_avg("", 2),
    recorded_avg(".padding_counts", 3, {.stride = 2, .padding = 1}),
    recorded_avg(".padding_left_out", 3, {.stride = 2, .padding = 1, .count_include_pad = false}),
    {"global_avg_pool", [](const auto& in) { return ops::global_avg_pool(in["x"]); }},
});

}  // namespace

TEST_CASE("pooling: known values") {
    const Variable x = Tensor::of<float>({1, 3, 3, 1}, {1, 2, 3, 4, 5, 6, 7, 8, -9});
    auto expect = [](const Variable& y, const Shape& shape, const std::vector<double>& values) {
        REQUIRE(y.shape() == shape);
        for (size_t i = 0; i < values.size(); ++i)
            CHECK(y.value().at(static_cast<int64_t>(i)) == doctest::Approx(values[i]));
    };
    expect(ops::max_pool2d(x, 2), {1, 1, 1, 1}, {5});
    expect(ops::max_pool2d(x, 2, {.stride = 1}), {1, 2, 2, 1}, {5, 6, 8, 8});
    expect(ops::max_pool2d(x, 2, {.padding = {0, 1, 0, 1}}), {1, 2, 2, 1}, {5, 6, 8, -9});
    expect(ops::avg_pool2d(x, 2, {.padding = {0, 1, 0, 1}}), {1, 2, 2, 1}, {3, 2.25, 3.75, -2.25});
    expect(ops::avg_pool2d(x, 2, {.padding = {0, 1, 0, 1}, .count_include_pad = false}), {1, 2, 2, 1},
           {3, 4.5, 7.5, -9});
    expect(ops::global_avg_pool(x), {1, 1}, {3});
}

TEST_CASE("max_pool2d: the first of equal values receives the gradient") {
    const Variable x = Variable::leaf(Tensor::full({1, 2, 2, 1}, 4));
    backward(ops::max_pool2d(x, 2));
    CHECK(x.grad().at(0) == 1);
    for (int i : {1, 2, 3}) CHECK(x.grad().at(i) == 0);
}

TEST_CASE("pooling: attributes in the graph") {
    const Graph graph = trace(
        [](const Variable& x) {
            return ops::avg_pool2d(x, {3, 2}, {.stride = 2, .padding = {1, 0, 0, 1}, .count_include_pad = false});
        },
        Tensor::zeros({1, 5, 5, 1}));
    CHECK(graph.nodes[graph.output].attributes.str() ==
          "kernel_size=[3, 2] stride=[2, 2] padding=[1, 0, 0, 1] count_include_pad=0");
}

TEST_CASE("pooling: bad arguments") {
    const Variable x = Tensor::zeros({1, 3, 3, 2});
    CHECK_THROWS_WITH_AS(ops::max_pool2d(x, 4), "max_pool2d: expected an input of at least 4x4 after padding, got 3x3",
                         Error);
    CHECK_THROWS_WITH_AS(ops::avg_pool2d(Tensor::zeros({3, 3}), 2), "avg_pool2d: expected x [N, H, W, C], got [3, 3]",
                         Error);
    CHECK_THROWS_AS(ops::max_pool2d(x, 2, {.padding = 2}), Error);
    CHECK_THROWS_AS(ops::max_pool2d(x, 2, {.stride = 0}), Error);
    CHECK_THROWS_AS(ops::avg_pool2d(x, 0), Error);
    CHECK_THROWS_AS(ops::global_avg_pool(Tensor::zeros({3, 3})), Error);
}
