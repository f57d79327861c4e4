#include "lathe/core/ops/permute.h"

namespace lathe::ops {

Variable permute(const Variable& x, const std::vector<int>& axes) {
    std::vector<int> back(axes.size(), -1);
    for (size_t i = 0; i < axes.size(); ++i) {
        const int axis = x.shape().axis(axes[i]);
        check(axes.size() == static_cast<size_t>(x.value().rank()) && back[axis] < 0,
              "permute: expected each axis of ", x.shape(), " once");
        back[axis] = static_cast<int>(i);
    }
    auto backward = [back](Tensor dy) { return Gradients{dy.permute(back)}; };
    auto attributes = [&] { return Attributes{{"axes", std::vector<int64_t>(axes.begin(), axes.end())}}; };
    return record("permute", {&x}, x.value().permute(axes), std::move(backward), attributes);
}

}  // namespace lathe::ops
