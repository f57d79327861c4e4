#include "lathe/compress/quantize/fake_quantize.h"

#include <algorithm>
#include <cmath>

#include "lathe/core/ops/slice.h"
#include "lathe/nn/files/encode.h"

namespace lathe::compress {

Tensor usable_scale(const Tensor& scale) {
    Tensor least = scale.to(DType::f32).clone();
    float* s = least.mutable_data<float>();
    for (int64_t k = 0; k < least.numel(); ++k) s[k] = std::max(s[k], kLeastScale);
    return least;
}

FakeQuantize::FakeQuantize(const Grid& grid) : bits_(grid.bits), axis_(grid.axis), scale_(grid.scale.clone()) {
    integer_range(bits_, true);
    check(axis_ == 0 || axis_ == -1, "fake_quantize: expected scales along axis 0 of a weight or one (-1), got ",
          axis_);
    check(grid.is_signed && !grid.zero_point, "fake_quantize: expected signed integers about zero for a weight");
}

nn::TransformPtr FakeQuantize::make(const Attributes& config, const Tensor& weight) {
    const int64_t axis = config.integer("axis");
    check(axis < 0 || weight.rank() > 0, "fake_quantize: expected a weight with channels, got ", weight.shape());
    return std::make_unique<FakeQuantize>(
        Grid{.bits = static_cast<int>(config.integer("bits")), .axis = static_cast<int>(axis),
             .scale = Tensor::full({axis < 0 ? 1 : weight.dim(0)}, 1)});
}

std::string FakeQuantize::describe() const {
    return concatenated(bits_, " bits, ", axis_ < 0 ? "one scale" : "a scale for each output channel");
}

Variable FakeQuantize::apply(const Variable& weight, nn::Box& box) {
    Variable scale = scale_.effective();
    const int64_t channels = axis_ < 0 ? 1 : box.shape[axis_];
    if (axis_ >= 0 && channels != box.full[axis_]) scale = ops::slice(scale, 0, box.begin[axis_], channels);
    const int64_t shared = weight.value().numel() / std::max<int64_t>(1, channels);
    const double gradient = lsq_gradient(shared, integer_range(bits_, true).high);
    return ops::fake_quantize(weight, scale, {}, {.bits = bits_, .axis = axis_, .scale_gradient = gradient});
}

Grid FakeQuantize::grid() const { return {.bits = bits_, .axis = axis_, .scale = usable_scale(scale_.value())}; }

Lowered FakeQuantize::lower(Lowered before, const Tensor& weight, const nn::Box& box) const {
    Grid part = grid();
    part.scale = along().cut(part.scale, box);
    before.integers = quantize(weight.to(DType::f32), part);
    before.scale = part.scale;
    before.axis = axis_;
    return before;
}

// Counted from the lowest integer on, as files hold symbols.
void FakeQuantize::encode(nn::Encoded& weight) const {
    const Tensor integers = quantize(weight.tensors.at("").to(DType::f32), grid());
    const int64_t low = integer_range(bits_, true).low;
    Tensor symbols(integers.shape(), DType::u8);
    for (int64_t i = 0; i < integers.numel(); ++i)
        symbols.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(integers.data<int8_t>()[i] - low);
    weight.tensors[""] = symbols;
    weight.symbols[""] = bits_;
}

void FakeQuantize::decode(nn::Encoded& weight, const Attributes& config) {
    const Tensor symbols = weight.tensors[""], scale = weight.tensors["scale"];
    check(symbols && symbols.dtype() == DType::u8 && scale && scale.dtype() == DType::f32,
          "fake_quantize: expected integers and a scale of type f32");
    const Grid grid{.bits = static_cast<int>(config.integer("bits")), .axis = static_cast<int>(config.integer("axis")),
                    .scale = usable_scale(scale)};
    const auto [low, high] = grid.integers();
    Tensor integers(symbols.shape(), DType::i8);
    const uint8_t* keep = weight.keep ? weight.keep.data<uint8_t>() : nullptr;
    for (int64_t i = 0; i < symbols.numel(); ++i) {
        const int64_t level = keep && !keep[i] ? 0 : symbols.data<uint8_t>()[i] + low;
        check(level <= high, "fake_quantize: expected integers of ", grid.bits, " bits, got ", level - low);
        integers.mutable_data<int8_t>()[i] = static_cast<int8_t>(level);
    }
    weight.tensors[""] = dequantize(integers, grid);
}

FakeQuantize& set_fake_quantize(nn::Parameter& parameter, const Grid& grid) {
    parameter.remove_transform(FakeQuantize::kKind);
    return static_cast<FakeQuantize&>(parameter.add_transform(std::make_unique<FakeQuantize>(grid)));
}

}  // namespace lathe::compress
