#include "lathe/nn/parameter.h"

#include <doctest/doctest.h>

#include "lathe/core/ops/sum.h"
#include "lathe/nn/mask.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::nn;
using namespace lathe::testing;

TEST_CASE("a mask zeroes the effective weight and its gradient, not the dense value") {
    Parameter weight(random_tensor({5, 3}));
    const Tensor mask = random_mask({5, 3}, 3), dense = weight.value().clone(), dy = random_tensor({5, 3}, 1);
    weight.add_transform(std::make_unique<Mask>(mask));
    const Variable effective = weight.effective();
    backward(effective, dy);
    for (int64_t i = 0; i < dense.numel(); ++i) {
        CHECK(effective.value().at(i) == (mask.at(i) ? dense.at(i) : 0));
        CHECK(weight.grad().at(i) == (mask.at(i) ? dy.at(i) : 0));
        CHECK(weight.value().at(i) == dense.at(i));
    }
    CHECK(weight.find_transform<Mask>()->describe() == "mask, 33.3% zero");
}

TEST_CASE("the effective weight is computed again when the value or a transform changed, or the tape was walked") {
    Parameter weight(Tensor::full({2}, 3));
    auto& mask = dynamic_cast<Mask&>(weight.add_transform(std::make_unique<Mask>(Tensor::full({2}, 1, DType::u8))));
    const Variable first = weight.effective();
    CHECK(weight.effective().value().shares_storage(first.value()));
    weight.mutable_value().fill_(5);
    CHECK(weight.effective().value().at(0) == 5);
    mask.set_mask(Tensor::of<uint8_t>({2}, {0, 1}));
    CHECK(weight.effective().value().at(0) == 0);
    for (int pass = 1; pass <= 2; ++pass) {
        backward(ops::sum(weight.effective()));
        CHECK(weight.grad().at(1) == pass);
    }
    {
        NoGrad no_grad;
        CHECK(!weight.effective().requires_grad());
    }
    CHECK(weight.effective().requires_grad());
    weight.remove_transform("mask");
    CHECK(weight.effective().value().at(0) == 5);
}

TEST_CASE("transforms that cannot be added") {
    Parameter weight(Tensor::full({2}, 3));
    weight.add_transform(std::make_unique<Mask>(Tensor::full({2}, 1, DType::u8)));
    CHECK(message_of([&] { weight.add_transform(std::make_unique<Mask>(Tensor::full({2}, 1, DType::u8))); }) ==
          "parameter: expected one 'mask' transform, got a second");
    CHECK(message_of([] { Mask(Tensor::full({2}, 1)); }) == "mask: expected elements of type u8, got f32");
    Parameter other(Tensor::full({3}, 3));
    CHECK(message_of([&] { other.add_transform(std::make_unique<Mask>(Tensor::full({2}, 1, DType::u8))); }) ==
          "mask: weight transform: expected a tensor that lies along its weight of shape [3], got [2]");
    other.add_transform(std::make_unique<Mask>(Tensor::full({3}, 1, DType::u8)));
    other.set_value(Tensor::full({2}, 3));
    CHECK(message_of([&] { other.effective(); }) ==
          "weight transform: expected a tensor that lies along its weight of shape [2], got [3]");
    CHECK(message_of([] { Mask(Tensor::of<uint8_t>({4}, {1, 1, 1, 0}), kernels::parse_pattern("2:4")); }) ==
          "mask: expected the pattern 2:4, got a mask without it");
}

TEST_CASE("selection moves value, gradient, slots and mask together") {
    Random random(5);
    for (int trial = 0; trial < 50; ++trial) {
        CAPTURE(trial);
        const Shape shape{1 + random.below(6), 1 + random.below(3), 1 + random.below(3), 1 + random.below(6)};
        const int axis = static_cast<int>(random.below(4));
        std::vector<int64_t> indices(static_cast<size_t>(1 + random.below(shape[axis])));
        for (int64_t& index : indices) index = random.below(shape[axis]);

        const Tensor value = random_tensor(shape, 1), grad = random_tensor(shape, 2),
                     momentum = random_tensor(shape, 3);
        const Tensor mask = random_mask(shape, static_cast<uint64_t>(trial));
        Parameter weight(value.clone());
        weight.set_grad(grad);
        weight.slots()["momentum"] = momentum;
        weight.add_transform(std::make_unique<Mask>(mask));
        weight.effective();  // what was cached for the old size is gone afterwards
        weight.select_(axis, indices);

        Parameter direct(value.select(axis, indices));
        direct.add_transform(std::make_unique<Mask>(mask.select(axis, indices)));
        CHECK(same(weight.value(), direct.value()));
        CHECK(same(weight.effective().value(), direct.effective().value()));
        CHECK(same(weight.grad(), grad.select(axis, indices)));
        CHECK(same(weight.slots().at("momentum"), momentum.select(axis, indices)));
        CHECK(same(weight.find_transform<Mask>()->mask(), mask.select(axis, indices)));
    }
    Parameter weight(random_tensor({3, 2}));
    CHECK(message_of([&] { weight.select_(0, {3}); }) == "select: index 3 is out of range for axis 0 of [3, 2]");
    CHECK(weight.shape() == Shape{3, 2});
}

TEST_CASE("arrangements of files: there and back") {
    const Tensor conv = random_tensor({4, 3, 2, 5}), linear = random_tensor({4, 6 * 5});
    const FileOrder conv_layout{.kind = FileOrder::conv}, image{.kind = FileOrder::image, .pixels = 6};
    const Tensor oihw = conv_layout.to_file(conv);
    CHECK(oihw.shape() == Shape{4, 5, 3, 2});
    CHECK(oihw.at(((2 * 5 + 4) * 3 + 1) * 2 + 1) == conv.at(((2 * 3 + 1) * 2 + 1) * 5 + 4));
    CHECK(same(conv_layout.from_file(oihw), conv));
    const Tensor chw = image.to_file(linear);
    CHECK(chw.at(1 * 30 + 4 * 6 + 5) == linear.at(1 * 30 + 5 * 5 + 4));  // channel 4 of pixel 5
    CHECK(same(image.from_file(chw), linear));
    CHECK(message_of([&] {
              image.from_file(random_tensor({4, 20}));
          }) == "expected shape [out, channels * 6], got [4, 20]");
}
