#pragma once
#include "lathe/compress/quantize/linear.h"
#include "lathe/nn/parameter.h"

namespace lathe::compress {

// Weights as the numbers that integers of few bits stand for, symmetric about zero: effective = fake_quantize(weight).
// Zeros stay zeros, so a mask before it holds. The scale is a parameter and learns (LSQ: ops::ScaleRule), with its
// gradient times 1 / sqrt(weights of the scale * greatest integer) as there, which keeps its steps in proportion to the
// weights'; freeze it to keep what was calibrated.
class FakeQuantize : public nn::WeightTransform {
public:
    // With the grid's scale: along axis 0 of the weight, its output channels, or one (axis -1).
    // Error: another axis, unsigned integers or a zero point.
    explicit FakeQuantize(const Grid& grid);
    static nn::TransformPtr make(const Attributes& config, const Tensor& weight);
    static void decode(nn::Encoded& weight, const Attributes& config);
    static constexpr const char* kKind = "fake_quantize";

    std::string kind() const override { return kKind; }
    Stage stage() const override { return Stage::quantize; }
    Attributes config() const override { return {{"bits", int64_t{bits_}}, {"axis", int64_t{axis_}}}; }
    std::string describe() const override;
    std::vector<nn::OwnParameter> parameters() override { return {{"scale", &scale_, along()}}; }
    Variable apply(const Variable& weight, nn::Box& box) override;
    Lowered lower(Lowered before, const Tensor& weight, const nn::Box& box) const override;
    void encode(nn::Encoded& weight) const override;  // integers of as many bits: what they round away cannot come back

    nn::Parameter& scale() { return scale_; }
    Grid grid() const;  // as it is now

private:
    nn::Along along() const { return axis_ < 0 ? nn::Along::none() : nn::Along::axis(axis_); }

    int bits_, axis_;
    nn::Parameter scale_;
};

// A scale as training left it, as f32 and no less than kLeastScale: what the op computes with.
Tensor usable_scale(const Tensor& scale);

// Gives a weight a quantizer, or another one. Error: it has a codebook.
FakeQuantize& set_fake_quantize(nn::Parameter& parameter, const Grid& grid);

// Files with such weights can be read wherever this header is known.
inline const bool fake_quantize_is_known = [] {
    nn::register_transform(FakeQuantize::kKind, {.make = FakeQuantize::make, .decode = FakeQuantize::decode});
    return true;
}();

}  // namespace lathe::compress
