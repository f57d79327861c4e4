#include "lathe/compress/quantize/fake_quantize.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lathe/core/ops/slice.h"
#include "lathe/nn/files/encode.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::testing;
using namespace lathe::compress;

namespace {

// The first rows of a weight, as a supernet uses them.
class Rows : public nn::WeightTransform {
public:
    explicit Rows(int64_t count) : count_(count) {}
    std::string kind() const override { return "rows"; }
    Stage stage() const override { return Stage::slice; }
    std::string describe() const override { return "rows"; }
    Variable apply(const Variable& weight, nn::Box& box) override {
        box.begin[0] = 1;
        box.shape[0] = count_;
        return ops::slice(weight, 0, 1, count_);
    }

private:
    int64_t count_;
};

nn::Parameter quantized(const Tensor& weight, int bits, int axis = 0) {
    nn::Parameter parameter(weight);
    set_fake_quantize(parameter, symmetric(weight, bits, axis));
    return parameter;
}

}  // namespace

TEST_CASE("a quantized weight: what layers see, its integers, and the LSQ gradient of its scale") {
    for (int axis : {0, -1}) {
        const Tensor w = random_tensor({4, 3, 3, 5}, 2);
        nn::Parameter parameter = quantized(w, 4, axis);
        const Lowered lowered = parameter.lowered();
        CHECK(lowered.axis == axis);
        CHECK_FALSE(bool(lowered.zero_point));
        CHECK(lowered.integers.dtype() == DType::i8);
        CHECK(lowered.scale.numel() == (axis < 0 ? 1 : 4));
        const Tensor seen = parameter.effective().value();
        CHECK(same(seen, dequantize(lowered.integers, {.bits = 4, .axis = axis, .scale = lowered.scale})));

        const Tensor dy = random_tensor(w.shape(), 3);
        backward(parameter.effective(), dy);
        CHECK(same(parameter.grad(), dy));  // calibrated to the largest weight: nothing is clipped
        const auto* quantizer = parameter.find_transform<FakeQuantize>();
        REQUIRE(quantizer);
        double expected = 0;
        const int64_t shared = axis < 0 ? w.numel() : w.numel() / 4;
        for (int64_t i = 0; i < shared; ++i)
            expected += dy.at(i) * (lowered.integers.at(i) - w.at(i) / lowered.scale.at(0));
        CHECK(parameter.find_transform<FakeQuantize>()->scale().grad().at(0) ==
              doctest::Approx(expected / std::sqrt(static_cast<double>(shared) * 7)).epsilon(1e-4));
    }
}

TEST_CASE("masked zeros are exact zeros in integers, whoever was added first; cut channels take their scales along") {
    const Tensor w = random_tensor({6, 8}, 4), keep = random_mask({6, 8}, 5);
    nn::Parameter parameter = quantized(w, 3);
    nn::set_mask(parameter, keep);
    CHECK(parameter.transforms()[0]->kind() == "mask");
    const Lowered lowered = parameter.lowered();
    for (int64_t i = 0; i < w.numel(); ++i)
        if (keep.at(i) == 0) {
            CHECK(parameter.effective().value().at(i) == 0);
            CHECK(lowered.integers.at(i) == 0);
        }
    CHECK(same(lowered.mask, keep));

    const Tensor before = parameter.effective().value();
    parameter.select_(0, {4, 1});
    parameter.select_(1, {0, 2, 7});
    CHECK(same(parameter.effective().value(), before.select(0, {4, 1}).select(1, {0, 2, 7})));
    CHECK(parameter.find_transform<FakeQuantize>()->scale().shape() == Shape{2});
}

TEST_CASE("a slice of a quantized weight has its rows' scales, and gives them their gradients") {
    const Tensor w = random_tensor({5, 7}, 6);
    nn::Parameter parameter = quantized(w, 4), whole = quantized(w, 4);
    parameter.add_transform(std::make_unique<Rows>(2));
    CHECK(same(parameter.effective().value(), whole.effective().value().select(0, {1, 2})));
    CHECK(same(parameter.lowered().integers, whole.lowered().integers.select(0, {1, 2})));
    backward(parameter.effective(), random_tensor({2, 7}, 7));
    const Tensor ds = parameter.find_transform<FakeQuantize>()->scale().grad();
    CHECK(ds.shape() == Shape{5});
    CHECK(ds.at(0) == 0);
    CHECK(ds.at(2) != 0);
}

TEST_CASE("files hold integers of as many bits and the scale, beside a mask too; what loads computes the same bits") {
    const TemporaryFolder folder;
    for (bool masked : {false, true})
        for (int bits = 2; bits <= 8; ++bits) {
            seed(1);
            const auto model = nn::make_model("lenet5", {.width = 0.5});
            int64_t integers = 0, kept = 0;
            for (const auto& [name, parameter] : model->named_parameters()) {
                if (parameter->shape().rank() < 2) continue;
                set_fake_quantize(*parameter, symmetric(parameter->value(), bits, bits % 2 ? 0 : -1));
                if (masked) nn::set_mask(*parameter, random_mask(parameter->shape(), 1));
                integers += parameter->value().numel();
                kept += masked ? parameter->find_transform<nn::Mask>()->mask().nonzeros() : 0;
            }
            const std::string file = folder / "quantized.safetensors";
            nn::save(*model, file, nn::Weights::encoded);
            int64_t stored = 0;
            for (const auto& [name, parameter] : model->named_parameters())
                if (parameter->shape().rank() > 1) stored += nn::encode(*parameter).bytes();
            const int64_t least = (masked ? kept : integers) * bits / 8;
            CHECK(stored >= least);
            CHECK(stored <= least + (masked ? integers / 8 + 16 : 16));
            const auto loaded = nn::load(file);
            const Tensor x = model->example(2);
            const nn::ModeScope a(*model, false), b(*loaded, false);
            CHECK(same((*loaded)(x).value(), (*model)(x).value()));
            // Dense, the file trains on from where it was.
            nn::save(*model, file);
            CHECK(same((*nn::load(file))(x).value(), (*model)(x).value()));
        }
}

TEST_CASE("weight quantizers: bad settings") {
    const Tensor w = random_tensor({2, 3});
    nn::Parameter parameter(w);
    CHECK(message_of([&] { set_fake_quantize(parameter, symmetric(w, 4, 1)); }) ==
          "fake_quantize: expected scales along axis 0 of a weight or one (-1), got 1");
    CHECK(message_of([&] { set_fake_quantize(parameter, asymmetric({0, 1}, 4)); }) ==
          "fake_quantize: expected signed integers about zero for a weight");
    CHECK(message_of([&] {
              nn::make_transform("fake_quantize", {{"bits", int64_t{9}}, {"axis", int64_t{0}}}, w);
          }) == "quantization: expected 2 to 8 bits, got 9");
    CHECK(message_of([&] { set_fake_quantize(parameter, {.bits = 4, .axis = 0, .scale = Tensor::full({3}, 1)}); })
              .find("expected a tensor that lies along axis 0 of its weight of shape [2, 3], got [3]") !=
          std::string::npos);
}
