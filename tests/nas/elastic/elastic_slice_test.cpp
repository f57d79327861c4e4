#include "lathe/nas/elastic/elastic_slice.h"

#include <doctest/doctest.h>

#include "lathe/core/ops/sum.h"
#include "lathe/core/tape/gradcheck.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/layers/flatten.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pool2d.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/nn/mask.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::nas;
using lathe::testing::message_of;
using lathe::testing::random_mask;
using lathe::testing::random_tensor;
using lathe::testing::same;

namespace {

ElasticSlice& make_elastic(nn::Parameter& weight) {
    return static_cast<ElasticSlice&>(weight.add_transform(std::make_unique<ElasticSlice>(weight.value())));
}

int64_t at(const Shape& shape, std::initializer_list<int64_t> index) {
    int64_t place = 0, axis = 0;
    for (int64_t i : index) place = place * shape[static_cast<int>(axis++)] + i;
    return place;
}

}  // namespace

TEST_CASE("a subnet uses first channels and the centre of a kernel; matrices transform it from size to size") {
    nn::Parameter weight(random_tensor({6, 7, 7, 4}), {.kind = nn::FileOrder::conv});
    ElasticSlice& slice = make_elastic(weight);
    CHECK(same(weight.effective().value(), weight.value()));
    slice.use({.out = 3, .in = 2, .kernel = 3});
    const Tensor small = weight.effective().value();
    REQUIRE(small.shape() == Shape{3, 3, 3, 2});
    for (int64_t k = 0; k < 3; ++k)
        for (int64_t i = 0; i < 3; ++i)
            for (int64_t c = 0; c < 2; ++c)
                CHECK(small.at(at({3, 3, 3, 2}, {k, i, 0, c})) ==
                      weight.value().at(at({6, 7, 7, 4}, {k, i + 2, 2, c})));
    // Row t of a matrix says what tap t becomes: here the sum of the first two.
    const auto own = slice.parameters();
    REQUIRE(own.size() == 2);
    CHECK(own[0].suffix == "7to5_matrix");
    CHECK(own[1].suffix == "5to3_matrix");
    own[1].parameter->mutable_value().mutable_data<float>()[1] = 1;
    const Tensor moved = weight.effective().value();
    CHECK(moved.at(0) == doctest::Approx(small.at(0) + small.at(at({3, 3, 3, 2}, {0, 0, 1, 0}))));
    CHECK(moved.at(2) == small.at(2));
    slice.use({.kernel = 5});
    CHECK(weight.effective().shape() == Shape{6, 5, 5, 4});
    CHECK(slice.describe() == "elastic, 6 of 6 outputs, 4 of 4 inputs, kernel 5 of 7");
}

TEST_CASE("gradients reach what a subnet used, and nothing else") {
    nn::Parameter weight(random_tensor({4, 5, 5, 3}), {.kind = nn::FileOrder::conv});
    make_elastic(weight).use({.out = 2, .in = 1, .kernel = 3});
    backward(ops::sum(weight.effective()));
    for (int64_t k = 0; k < 4; ++k)
        for (int64_t y = 0; y < 5; ++y)
            for (int64_t c = 0; c < 3; ++c) {
                const bool used = k < 2 && c < 1 && y >= 1 && y < 4;
                CHECK(weight.grad().at(at({4, 5, 5, 3}, {k, y, 2, c})) == (used ? 1 : 0));
            }
    const auto elastic = [](const std::vector<Variable>& x) {
        ElasticSlice slice(x[0].value());
        slice.use({.out = 2, .in = 2, .kernel = 3});
        nn::Box box(x[0].shape());
        return slice.apply(x[0], box);
    };
    CHECK(gradcheck(elastic, {random_tensor({3, 7, 7, 3}, 1, DType::f64)}));
}

TEST_CASE("a mask lies along the whole weight: the slice meets its part") {
    nn::Parameter weight(random_tensor({6, 4}));
    const Tensor keep = random_mask({6, 4}, 3);
    nn::set_mask(weight, keep);
    make_elastic(weight).use({.out = 2, .in = 3});
    const Tensor effective = weight.effective().value();
    REQUIRE(effective.shape() == Shape{2, 3});
    for (int64_t k = 0; k < 2; ++k)
        for (int64_t c = 0; c < 3; ++c)
            CHECK(effective.at(k * 3 + c) == (keep.at(k * 4 + c) ? weight.value().at(k * 4 + c) : 0));
}

TEST_CASE("channels that are cut or sorted move with the active part, and wrong parts are refused") {
    nn::Parameter weight(random_tensor({6, 3, 3, 4}), {.kind = nn::FileOrder::conv});
    ElasticSlice& slice = make_elastic(weight);
    slice.use({.out = 4});
    const Tensor before = weight.value().clone();
    weight.select_(0, {2, 0, 5});
    CHECK(slice.active() == ActivePart{.out = 2, .in = 4, .kernel = 3});
    CHECK(weight.effective().value().at(0) == before.at(2 * 36));
    weight.select_(3, {3, 2, 1, 0});
    CHECK(slice.active().in == 4);
    CHECK(weight.effective().value().at(0) == before.at(2 * 36 + 3));
    const auto says = [&](const ActivePart& part) { return message_of([&] { slice.use(part); }); };
    CHECK(says({.out = 4}) == "elastic_slice: expected up to 3 outputs and 4 inputs, got 4 and 4");
    CHECK(says({.kernel = 5}) == "elastic_slice: expected the kernel 3 or an odd one from 3 on below it, got 5");
    nn::Parameter bias(random_tensor({5}));
    make_elastic(bias).use({.out = 2});
    CHECK(bias.effective().shape() == Shape{2});
}

TEST_CASE("a network with an elastic weight is saved with its active part, and computes the same when loaded") {
    register_elastic_slice();
    auto net = std::make_unique<nn::Sequential>();
    auto& conv = net->add<nn::Conv2d>("conv", {.in = 3, .out = 8, .kernel = 5, .padding = 1});
    net->add<nn::GlobalAvgPool>("pool");
    auto& fc = net->add<nn::Linear>("fc", {.in = 8, .out = 2});
    make_elastic(conv.weight).use({.out = 4, .kernel = 3});
    make_elastic(conv.bias).use({.out = 4});
    make_elastic(fc.weight).use({.in = 4});
    nn::Model model("elastic", {.classes = 2, .input = {8, 8, 3}}, std::move(net));
    model.eval();
    const auto again = nn::from_file(nn::to_file(model), "again");
    again->eval();
    const Tensor x = random_tensor({2, 8, 8, 3});
    CHECK(same(model(x).value(), (*again)(x).value()));
    CHECK(model.state().contains("conv.weight.5to3_matrix"));
}

TEST_CASE("padding follows a smaller kernel: the output keeps its size, and is that of a layer with the centre") {
    nn::Conv2d wide({.in = 2, .out = 3, .kernel = 5, .stride = 2, .padding = 2, .bias = false});
    nn::Conv2d plain({.in = 2, .out = 3, .kernel = 3, .stride = 2, .padding = 1, .bias = false});
    const Tensor x = random_tensor({2, 9, 9, 2});
    CHECK(wide(x).shape() == Shape{2, 5, 5, 3});
    make_elastic(wide.weight).use({.kernel = 3});
    plain.weight.set_value(wide.weight.effective().value().clone());
    CHECK(same(wide(x).value(), plain(x).value()));
}

TEST_CASE("a weight tells which stretches of it were computed with since its gradient was zero") {
    using Stretches = std::vector<std::pair<int64_t, int64_t>>;
    nn::Parameter weight(random_tensor({4, 3}));
    ElasticSlice& slice = make_elastic(weight);
    CHECK(weight.used() == Stretches{{0, 12}});
    slice.use({.out = 2, .in = 2}), weight.effective();
    CHECK(weight.used() == Stretches{{0, 2}, {3, 5}});
    slice.use({.out = 3, .in = 1}), weight.effective();
    CHECK(weight.used() == Stretches{{0, 2}, {3, 5}, {6, 7}});
    slice.use({.out = 1}), weight.effective();
    CHECK(weight.used() == Stretches{{0, 5}, {6, 7}});
    weight.zero_grad();
    slice.use({.out = 2, .in = 2});
    {
        const NoGrad no_grad;
        weight.effective();
    }
    CHECK(weight.used() == Stretches{{0, 12}});  // nothing that a gradient could come from
}
