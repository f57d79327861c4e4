#include "lathe/nn/run/replay.h"

namespace lathe::nn {

thread_local Replay* Replay::active = nullptr;

Tensor Replay::run(const Module& changed) {
    const ModeScope mode(module_, false);
    const NoGrad no_grad;
    struct Active {
        Replay* before = active;
        explicit Active(Replay* replay) { active = replay; }
        ~Active() { active = before; }
    } scope(this);
    changed_ = &changed;
    next_ = 0;
    const Variable y = module_(x_);
    check(!changed_, "replay: expected a layer that the module runs");
    return y.value();
}

Variable Replay::call(Module& module, const Variable& x) {
    const int64_t number = next_++;
    if (changed_ == &module) changed_ = nullptr;
    if (!changed_) return module.forward(x);
    if (const auto known = results_.find(number); known != results_.end()) {
        next_ = known->second.next;
        return known->second.output;
    }
    Variable y = module.forward(x);
    if (!changed_) return y;  // it was reached within
    results_.erase(results_.lower_bound(number), results_.lower_bound(next_));
    results_[number] = {y, next_};
    return y;
}

}  // namespace lathe::nn
