#include "lathe/core/ops/dropout.h"

#include "lathe/core/kernels/rows/rows.h"
#include "lathe/core/random.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

namespace {

// Draws the mask anew each time it is called with the same seed, so that backward need not keep it.
Tensor masked(const Tensor& x, double p, uint64_t seed) {
    const auto drop_below = static_cast<uint32_t>(p * 0x1p32);
    Tensor y(x.shape(), x.dtype());
    with_float(x, [&](auto zero) {
        using T = decltype(zero);
        const T* from = x.data<T>();
        T* to = y.mutable_data<T>();
        const T keep = static_cast<T>(1 / (1 - p));
        parallel_for(x.numel(), kernels::row_grain(1), [=](int64_t begin, int64_t end) {
            Random random(seed);
            random.seek(static_cast<uint64_t>(begin));
            for (int64_t i = begin; i < end; ++i) to[i] = random.bits() < drop_below ? T(0) : keep * from[i];
        });
    });
    return y;
}

}  // namespace

Variable dropout(const Variable& x, double p, bool training) {
    check(p >= 0 && p < 1, "dropout: expected a probability in [0, 1), got ", p);
    if (p == 0 || (!training && !detail::tracing())) return x;
    // A trace keeps the op, which its network needs to train. Values are known by their memory: this one gets its own.
    if (!training)
        return record("dropout", {&x}, x.value().clone(), [](Tensor dy) { return Gradients{dy}; },
                      [&] { return Attributes{{"p", p}}; });
    const uint64_t high = global_random().bits(), low = global_random().bits(), seed = high << 32 | low;
    auto backward = [p, seed](Tensor dy) { return Gradients{masked(dy, p, seed)}; };
    auto attributes = [&] { return Attributes{{"p", p}}; };
    return record("dropout", {&x}, masked(x.value(), p, seed), std::move(backward), attributes);
}

namespace row {
OpInfo dropout() {
    return {.name = "dropout",
            .attributes = {{.type = AttributeSpec::real, .name = "p", .otherwise = 0.5}},
            .run = [](const Attributes& a, Inputs x, Mode mode) {
                return ops::dropout(x[0], a.real("p"), mode == Mode::training);
            },
            .shape = same_shape,
            .traits = {.view = true, .elementwise = true, .per_channel = true, .keeps_zero = true, .any_layout = true},
            .channels = ChannelRule::same};
}
}  // namespace row

}  // namespace lathe::ops
