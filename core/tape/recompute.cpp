#include "lathe/core/tape/recompute.h"

#include "lathe/core/random.h"

namespace lathe {

Variable recompute(std::function<Variable(const Variable& x)> f, const Variable& x) {
    if (!grad_enabled() || detail::tracing()) return f(x);
    const Random random = global_random();
    Tensor y;
    {
        const detail::TapeScope tape(false);
        // Recorded, although the tape goes at once, to learn whether anything in f wants a gradient.
        const Variable result = f(x.requires_grad() ? Variable::leaf(x.value()) : x);
        if (!result.requires_grad()) return result;
        y = result.value();
    }

    auto backward = [f = std::move(f), x = Saved(x), random](Tensor dy) {
        const detail::TapeScope tape(true);
        const KeepGlobalRandom keep;
        global_random() = random;
        const Variable again = x.needs() ? Variable::leaf(*x) : Variable(*x);
        lathe::backward(f(again), std::move(dy));
        return Gradients{again.grad()};
    };
    auto node = std::make_shared<detail::OpNode<decltype(backward)>>(std::move(backward));
    detail::connect(*node, "recompute", {&x}, y.shape());
    return {std::move(y), std::move(node)};
}

}  // namespace lathe
