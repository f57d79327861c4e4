#include "lathe/core/ops/permute.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

namespace {

// Where each axis of x goes.
std::vector<int> inverse(const Shape& x, const std::vector<int>& axes) {
    check(axes.size() == static_cast<size_t>(x.rank()), "permute: expected each axis of ", x, " once");
    std::vector<int> back(axes.size(), -1);
    for (size_t i = 0; i < axes.size(); ++i) {
        const auto axis = static_cast<size_t>(x.axis(axes[i]));
        check(back[axis] < 0, "permute: expected each axis of ", x, " once");
        back[axis] = static_cast<int>(i);
    }
    return back;
}

std::vector<int> axes_of(const Attributes& a) {
    const std::vector<int64_t>& axes = a.integers("axes");
    return {axes.begin(), axes.end()};
}

}  // namespace

Variable permute(const Variable& x, const std::vector<int>& axes) {
    const std::vector<int> back = inverse(x.shape(), axes);
    auto backward = [back](Tensor dy) { return Gradients{dy.permute(back)}; };
    auto attributes = [&] { return Attributes{{"axes", std::vector<int64_t>(axes.begin(), axes.end())}}; };
    return record("permute", {&x}, x.value().permute(axes), std::move(backward), attributes);
}

namespace row {
OpInfo permute() {
    return {.name = "permute",
            .attributes = {{.type = AttributeSpec::integers, .name = "axes", .required = true}},
            .run = [](const Attributes& a, Inputs x, Mode) { return ops::permute(x[0], axes_of(a)); },
            .shape = [](const Attributes& a, Shapes x) {
                Shape y;
                inverse(x[0], axes_of(a));
                for (int axis : axes_of(a)) y.push_back(x[0][x[0].axis(axis)]);
                return y;
            },
            .channels = ChannelRule::permute};
}
}  // namespace row

}  // namespace lathe::ops
