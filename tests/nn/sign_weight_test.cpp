#include <doctest/doctest.h>

#include <cmath>

#include "lathe/core/ops/sum.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/parameter.h"
#include "lathe/tests/nn/random_tensor.h"

// The exercise of nn/README.md, stop 2, solved: a weight of one bit.
using namespace lathe;
using namespace lathe::nn;
using namespace lathe::testing;

namespace {

// w [K, ...] -> +s or -s, with s the mean magnitude of a row's weights other than zero (Rastegari et al. 2016, arXiv
// 1603.05279). Zeros stay zeros, so a mask before it holds. The gradient passes as if nothing had been rounded.
Variable sign(const Variable& w) {
    Tensor y(w.shape(), w.dtype());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        const int64_t rows = w.dim(0), row = y.numel() / rows;
        for (int64_t k = 0; k < rows; ++k) {
            const T* from = w.value().data<T>() + k * row;
            T *to = y.mutable_data<T>() + k * row, sum = 0, count = 0;
            for (int64_t i = 0; i < row; ++i) sum += std::abs(from[i]), count += from[i] != 0;
            for (int64_t i = 0; i < row; ++i) to[i] = from[i] == 0 ? 0 : std::copysign(sum / count, from[i]);
        }
    });
    return record("sign", {&w}, std::move(y), [](Tensor dy) { return Gradients{std::move(dy)}; });
}

class Sign : public WeightTransform {
public:
    std::string kind() const override { return "sign"; }
    Stage stage() const override { return Stage::quantize; }
    std::string describe() const override { return "sign, 1 bit"; }
    Variable apply(const Variable& weight, Box&) override { return sign(weight); }
};

}  // namespace

TEST_CASE("a weight of one bit: what a layer sees, where the gradient goes, and a mask added later comes before it") {
    Parameter weight(Tensor::of<float>({2, 3}, {1, -3, 2, 4, 0, -2}));
    weight.add_transform(std::make_unique<Sign>());
    const auto check = [&](std::vector<float> expected) {
        for (int64_t i = 0; i < 6; ++i) CHECK(weight.effective().value().at(i) == expected[static_cast<size_t>(i)]);
    };
    check({2, -2, 2, 3, 0, -3});
    backward(weight.effective(), Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6}));
    for (int64_t i = 0; i < 6; ++i) CHECK(weight.grad().at(i) == i + 1);

    weight.add_transform(std::make_unique<Mask>(Tensor::of<uint8_t>({2, 3}, {1, 1, 0, 1, 0, 0})));
    CHECK(weight.transforms()[0]->kind() == "mask");
    check({2, -2, 0, 4, 0, 0});
    weight.zero_grad();
    backward(weight.effective(), Tensor::full({2, 3}, 1));
    CHECK(weight.grad().at(0) == 1);
    CHECK(weight.grad().at(2) == 0);
    weight.mutable_value().fill_(-1);
    check({-1, -1, 0, -1, 0, 0});
}
