#include "lathe/nn/mask.h"

#include <algorithm>

#include "lathe/core/ops/mul.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/files/encode.h"
#include "lathe/nn/parameter.h"

namespace lathe::nn {

namespace {

// Zeroes the optimizer's slots where `keep` is 0 and `before`, when there was a mask, was 1.
void forget(Parameter& parameter, const Tensor& keep, const Tensor& before) {
    const uint8_t *now = keep.data<uint8_t>(), *then = before ? before.data<uint8_t>() : nullptr;
    for (auto& [name, slot] : parameter.slots()) {
        if (name.starts_with(Parameter::kKept)) continue;
        with_float(slot, [&, &tensor = slot](auto zero) {  // clang before 16 captures no binding by its name
            auto* values = tensor.template mutable_data<decltype(zero)>();
            for (int64_t i = 0; i < keep.numel(); ++i)
                if (!now[i] && (!then || then[i])) values[i] = 0;
        });
    }
}

}  // namespace

TransformPtr Mask::make(const Attributes& config, const Tensor&) {
    std::unique_ptr<Mask> mask(new Mask);
    if (config.has("pattern")) mask->pattern_ = kernels::parse_pattern(config.text("pattern"));
    return mask;
}

Attributes Mask::config() const {
    if (pattern_ == kernels::Pattern{}) return {};
    return {{"pattern", pattern_.str()}};
}

Variable Mask::apply(const Variable& weight, Box& box) {
    if (!factor_ || factor_.dtype() != weight.dtype() || part_ != box) {
        factor_ = Along::weight().cut(mask_, box).to(weight.dtype());
        part_ = box;
    }
    return ops::mul(weight, factor_);
}

void Mask::set_mask(Tensor keep, const kernels::Pattern& pattern) {
    check(keep.dtype() == DType::u8, "mask: expected elements of type u8, got ", name_of(keep.dtype()));
    const uint8_t* kept = keep.data<uint8_t>();
    const int64_t plain = std::count_if(kept, kept + keep.numel(), [](uint8_t k) { return k <= 1; });
    check(plain == keep.numel(), "mask: expected 0 and 1 only, got ", keep.numel() - plain, " other elements");
    check(has_pattern(keep, pattern), "mask: expected the pattern ", pattern.str(), ", got a mask without it");
    mask_ = std::move(keep);
    pattern_ = pattern;
    factor_ = {};
    ++version_;
}

void Mask::select_(int axis, const std::vector<int64_t>& indices) {
    Tensor keep = mask_.select(axis, indices);
    const kernels::Pattern pattern = has_pattern(keep, pattern_) ? pattern_ : kernels::Pattern{};
    set_mask(std::move(keep), pattern);
}

Lowered Mask::lower(Lowered before, const Tensor&, const Box& box) const {
    before.mask = Along::weight().cut(mask_, box);
    if (has_pattern(before.mask, pattern_)) before.pattern = pattern_;
    return before;
}

void Mask::encode(Encoded& weight) const { encode_sparse(weight, "mask"); }
void Mask::decode(Encoded& weight, const Attributes&) { decode_sparse(weight, "mask"); }

double Mask::sparsity() const {
    if (mask_.numel() == 0) return 0;
    const uint8_t* keep = mask_.data<uint8_t>();
    return static_cast<double>(std::count(keep, keep + mask_.numel(), 0)) / static_cast<double>(mask_.numel());
}

std::string Mask::describe() const {
    return format("mask, %.1f%% zero", 100 * sparsity());
}

bool has_pattern(const Tensor& keep, const kernels::Pattern& pattern) {
    const int64_t rows = keep.rank() > 1 ? keep.dim(0) : 1, columns = keep.rank() > 0 ? keep.dim(-1) : 1;
    if (keep.numel() == 0) return true;
    return pattern.holds(keep.data<uint8_t>(), rows, keep.numel() / rows / columns, columns);
}

Mask& set_mask(Parameter& parameter, Tensor keep, const kernels::Pattern& pattern) {
    check(keep.shape() == parameter.shape(), "mask: expected shape ", parameter.shape(), ", got ", keep.shape());
    auto* mask = parameter.find_transform<Mask>();
    const Tensor before = mask ? mask->mask() : Tensor{};
    if (mask) mask->set_mask(keep, pattern);
    else mask = static_cast<Mask*>(&parameter.add_transform(std::make_unique<Mask>(keep, pattern)));
    forget(parameter, keep, before);
    return *mask;
}

}  // namespace lathe::nn
