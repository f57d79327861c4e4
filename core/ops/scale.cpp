#include "lathe/core/ops/scale.h"

#include "lathe/core/kernels/rows/rows.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

Tensor scaled(const Tensor& x, double factor) {
    Tensor y(x.shape(), x.dtype());
    with_float(x, [&](auto zero) {
        using T = decltype(zero);
        const T* from = x.data<T>();
        T* to = y.mutable_data<T>();
        parallel_for(x.numel(), kernels::row_grain(1), [=](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) to[i] = static_cast<T>(factor) * from[i];
        });
    });
    return y;
}

Variable scale(const Variable& x, double factor) {
    auto backward = [factor](Tensor dy) { return Gradients{scaled(dy, factor)}; };
    auto attributes = [&] { return Attributes{{"factor", factor}}; };
    return record("scale", {&x}, scaled(x.value(), factor), std::move(backward), attributes);
}

namespace row {
OpInfo scale() {
    return {.name = "scale",
            .attributes = {{.type = AttributeSpec::real, .name = "factor", .required = true}},
            .run = [](const Attributes& a, Inputs x, Mode) { return ops::scale(x[0], a.real("factor")); },
            .shape = same_shape,
            .traits = {.elementwise = true, .per_channel = true, .keeps_zero = true, .any_layout = true},
            .channels = ChannelRule::same};
}
}  // namespace row

}  // namespace lathe::ops
