#include "lathe/core/tensor.h"

#include <doctest/doctest.h>

#include <limits>

using namespace lathe;

namespace {

constexpr DType kTypes[] = {DType::f32, DType::f64, DType::i8, DType::u8, DType::i32, DType::i64};

// 0, 1, 2, ...
Tensor counting(const Shape& shape, DType dtype = DType::f32) {
    std::vector<int32_t> values(static_cast<size_t>(shape.numel()));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int32_t>(i);
    return Tensor::of(shape, values).to(dtype);
}

std::vector<double> elements(const Tensor& x) {
    std::vector<double> values;
    for (int64_t i = 0; i < x.numel(); ++i) values.push_back(x.at(i));
    return values;
}

}  // namespace

TEST_CASE("shapes") {
    const Shape shape{2, 3, 5};
    CHECK(shape.rank() == 3);
    CHECK(shape.numel() == 30);
    CHECK(shape.back() == 5);
    CHECK(shape.axis(-1) == 2);
    CHECK(shape.str() == "[2, 3, 5]");
    CHECK(shape == Shape(std::vector<int64_t>{2, 3, 5}));
    CHECK(shape != Shape{2, 3});
    CHECK(Shape{}.numel() == 1);
    CHECK(Shape{}.str() == "[]");
    CHECK(Shape{4, 0}.numel() == 0);
    CHECK_THROWS_WITH_AS(shape.axis(3), "axis 3 is out of range for shape [2, 3, 5]", Error);
    CHECK_THROWS_AS(shape.axis(-4), Error);
    CHECK_THROWS_WITH_AS((Shape{2, -1}), "shape: expected extents of at least 0, got -1", Error);
    CHECK_THROWS_WITH_AS((Shape{1, 1, 1, 1, 1, 1, 1}), "shape: expected at most 6 dimensions, got more", Error);
    const Shape vast{int64_t{1} << 31, int64_t{1} << 31};
    CHECK_THROWS_WITH_AS(vast.numel(), "shape: [2147483648, 2147483648] has more elements than any memory", Error);
    CHECK_THROWS_AS(Tensor{vast}, Error);
}

TEST_CASE("every element type holds its values and converts") {
    for (DType dtype : kTypes) {
        CAPTURE(name_of(dtype));
        const Tensor x = counting({3, 4}, dtype);
        CHECK(x.dtype() == dtype);
        CHECK(x.bytes() == 12 * size_of(dtype));
        CHECK(x.at(11) == 11);
        for (DType other : kTypes) CHECK(elements(x.to(other)) == elements(x));
        CHECK(x.to(dtype).shares_storage(x));
        CHECK(Tensor::zeros({2}, dtype).at(1) == 0);
        CHECK(Tensor::full({2}, 7, dtype).at(1) == 7);
        CHECK(Tensor::scalar(5, dtype).item() == 5);
        CHECK(Tensor::scalar(5, dtype).rank() == 0);
    }
    CHECK(size_of(DType::f32) == 4);
    CHECK(size_of(DType::i64) == 8);
    CHECK(size_of(DType::u8) == 1);
    CHECK(std::string(name_of(DType::i8)) == "i8");
    CHECK(elements(Tensor::of<float>({3}, {-1.75f, 2.5f, 100}).to(DType::i8)) == std::vector<double>{-1, 2, 100});
    CHECK(Tensor::of<uint8_t>({1}, {255}).to(DType::i32).at(0) == 255);
    CHECK(Tensor::of<int8_t>({1}, {-128}).to(DType::f32).at(0) == -128);
    CHECK(is_float(DType::f64));
    CHECK_FALSE(is_float(DType::i32));
}

TEST_CASE("handles share elements, clones do not") {
    Tensor x = counting({4});
    Tensor handle = x, copy = x.clone();
    CHECK(x.shares_storage(handle));
    CHECK_FALSE(x.shares_storage(copy));
    CHECK_FALSE(x.unique());
    CHECK(copy.unique());
    x.mutable_data<float>()[1] = 9;
    CHECK(handle.at(1) == 9);
    CHECK(copy.at(1) == 1);
    handle = {};
    CHECK(x.unique());
}

TEST_CASE("reshape and rows are views of the same elements") {
    Tensor x = counting({4, 3});
    const Tensor flat = x.reshape({2, 6}), middle = x.rows(1, 2);
    CHECK(flat.shape() == Shape{2, 6});
    CHECK(middle.shape() == Shape{2, 3});
    CHECK(elements(middle) == std::vector<double>{3, 4, 5, 6, 7, 8});
    CHECK(elements(middle.rows(1, 1).reshape({3, 1})) == std::vector<double>{6, 7, 8});
    x.mutable_data<float>()[4] = -1;
    CHECK(flat.at(4) == -1);
    CHECK(middle.at(1) == -1);
    CHECK(x.rows(4, 0).numel() == 0);
    CHECK(Tensor::zeros({0, 3}).rows(0, 0).shape() == Shape{0, 3});
    CHECK_THROWS_WITH_AS(x.reshape({5}), "reshape: expected a shape of 12 elements like [4, 3], got [5]", Error);
    CHECK_THROWS_WITH_AS(x.rows(2, 3), "rows: expected a range inside [4, 3], got 2 and 3 more", Error);
    CHECK_THROWS_AS(x.rows(-1, 1), Error);
    CHECK_THROWS_AS(x.rows(3, std::numeric_limits<int64_t>::max()), Error);
    CHECK_THROWS_AS(Tensor::scalar(1).rows(0, 1), Error);
}

TEST_CASE("permute and select copy, for every element type") {
    for (DType dtype : kTypes) {
        CAPTURE(name_of(dtype));
        const Tensor x = counting({2, 3, 4}, dtype);
        const Tensor y = x.permute({2, 0, 1});
        CHECK(y.shape() == Shape{4, 2, 3});
        for (int64_t i = 0; i < 2; ++i)
            for (int64_t j = 0; j < 3; ++j)
                for (int64_t k = 0; k < 4; ++k) REQUIRE(y.at((k * 2 + i) * 3 + j) == x.at((i * 3 + j) * 4 + k));
        CHECK(elements(y.permute({1, 2, 0})) == elements(x));
        CHECK(elements(x.permute({0, -2, -1})) == elements(x));

        const Tensor chosen = x.select(1, {2, 0, 2});
        CHECK(chosen.shape() == Shape{2, 3, 4});
        CHECK(chosen.dtype() == dtype);
        CHECK(chosen.at(0) == 8);
        CHECK(chosen.at(4) == 0);
        CHECK(chosen.at(23) == 23);
        CHECK(elements(x.select(-1, {3})) == std::vector<double>{3, 7, 11, 15, 19, 23});
        CHECK(x.select(0, {}).shape() == Shape{0, 3, 4});
    }
    const Tensor x = counting({2, 3});
    CHECK_THROWS_WITH_AS(x.permute({0}), "permute: expected 2 axes for [2, 3], got 1", Error);
    CHECK_THROWS_WITH_AS(x.permute({1, -1}), "permute: expected every axis of [2, 3] once, got axis 1 again", Error);
    CHECK_THROWS_AS(x.permute({0, 2}), Error);
    CHECK_THROWS_WITH_AS(x.select(1, {0, 3}), "select: index 3 is out of range for axis 1 of [2, 3]", Error);
    CHECK_THROWS_AS(x.select(0, {-1}), Error);
    CHECK_THROWS_AS(x.select(2, {0}), Error);
}

TEST_CASE("filling and copying") {
    Tensor x({2, 2});
    x.fill_(1.5);
    CHECK(elements(x) == std::vector<double>{1.5, 1.5, 1.5, 1.5});
    x.copy_(counting({2, 2}));
    CHECK(x.at(3) == 3);
    CHECK_THROWS_WITH_AS(x.copy_(counting({4})), "copy: expected f32 [2, 2], got f32 [4]", Error);
    CHECK_THROWS_WITH_AS(x.copy_(counting({2, 2}, DType::i32)), "copy: expected f32 [2, 2], got i32 [2, 2]", Error);
    CHECK_THROWS_WITH_AS(Tensor::of<float>({3}, {1, 2}), "tensor: expected 3 values for shape [3], got 2", Error);
}

TEST_CASE("the version counts requests for writing, of all views together") {
    Tensor x({4, 2});
    const uint32_t fresh = x.version();
    Tensor view = x.rows(1, 2), copy = x.clone();
    x.data<float>();
    CHECK(x.version() == fresh);
    view.mutable_data<float>()[0] = 1;
    CHECK(x.version() == fresh + 1);
    const uint32_t of_copy = copy.version();
    x.fill_(0);
    CHECK(view.version() == fresh + 2);
    CHECK(copy.version() == of_copy);
}

TEST_CASE("access to another type, to nothing or out of range is an error") {
    const Tensor x = counting({2, 3}), empty;
    CHECK_THROWS_WITH_AS(x.data<int32_t>(), "expected a tensor of i32, got f32 [2, 3]", Error);
    CHECK_THROWS_WITH_AS(empty.data<float>(), "expected a tensor of f32, got an empty one", Error);
    CHECK_FALSE(empty);
    CHECK(empty.numel() == 0);
    CHECK(empty.raw() == nullptr);
    CHECK_FALSE(empty.clone());
    CHECK_THROWS_WITH_AS(x.item(), "item: expected a tensor of one element, got [2, 3]", Error);
    CHECK_THROWS_WITH_AS(x.at(6), "at: index 6 is out of range for [2, 3]", Error);
    CHECK_THROWS_AS(x.at(-1), Error);
    CHECK_THROWS_WITH_AS(with_float(counting({1}, DType::i8), [](auto) {}),
                         "expected a float32 or float64 tensor, got i8", Error);
    CHECK(counting({1, 1, 1}).item() == 0);
}
