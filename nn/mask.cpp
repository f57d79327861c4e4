#include "lathe/nn/mask.h"

#include <algorithm>

#include "lathe/core/ops/mul.h"
#include "lathe/core/text_table.h"

namespace lathe::nn {

Variable Mask::apply(const Variable& weight) {
    check(weight.shape() == mask_.shape(), "mask: expected a weight of shape ", mask_.shape(), ", got ", weight.shape());
    if (!factor_ || factor_.dtype() != weight.dtype()) factor_ = mask_.to(weight.dtype());
    return ops::mul(weight, factor_);
}

void Mask::set_mask(Tensor mask) {
    check(mask.dtype() == DType::u8, "mask: expected elements of type u8, got ", name_of(mask.dtype()));
    mask_ = std::move(mask);
    factor_ = {};
    ++version_;
}

double Mask::sparsity() const {
    if (mask_.numel() == 0) return 0;
    const uint8_t* keep = mask_.data<uint8_t>();
    return static_cast<double>(std::count(keep, keep + mask_.numel(), 0)) / static_cast<double>(mask_.numel());
}

std::string Mask::describe() const {
    return format("mask, %.1f%% zero", 100 * sparsity());
}

}  // namespace lathe::nn
