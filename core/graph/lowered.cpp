#include "lathe/core/graph/lowered.h"

namespace lathe {

Lowered Lowered::scaled(const std::vector<double>& factors) const {
    Lowered to = *this;
    const bool per_tensor = !scale || scale.numel() == 1, zero_per_tensor = !zero_point || zero_point.numel() == 1;
    if (!integers && !indices) return to;
    if (axis != 0 && !(per_tensor && zero_per_tensor)) return {.mask = mask, .pattern = pattern};
    const auto count = static_cast<int64_t>(factors.size());
    to.axis = 0;
    to.scale = Tensor({count});
    float* s = to.scale.mutable_data<float>();
    for (int64_t k = 0; k < count; ++k)
        s[k] = static_cast<float>((scale ? scale.at(per_tensor ? 0 : k) : 1) * factors[static_cast<size_t>(k)]);
    if (zero_point && zero_per_tensor) to.zero_point = Tensor::full({count}, zero_point.item(), zero_point.dtype());
    return to;
}

}  // namespace lathe
