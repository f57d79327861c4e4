#include "lathe/optim/optimizer.h"

#include <algorithm>
#include <cmath>

#include "lathe/core/parallel.h"

namespace lathe::optim {

namespace {

constexpr int64_t kGrain = 1 << 14;  // elements a task

bool wants_update(const nn::Parameter& parameter) { return parameter.trainable() && parameter.grad(); }

// Gives the parameter fresh slots unless it has the ones of this optimizer.
void prepare_slots(nn::Parameter& parameter, const std::vector<std::string>& names) {
    auto& slots = parameter.slots();
    const auto is_own = [](const auto& slot) { return !slot.first.starts_with(nn::Parameter::kKept); };
    const bool ready =
        std::count_if(slots.begin(), slots.end(), is_own) == static_cast<std::ptrdiff_t>(names.size()) &&
        std::all_of(names.begin(), names.end(), [&](const std::string& name) { return slots.count(name); });
    if (ready) return;
    std::erase_if(slots, is_own);
    parameter.updates() = 0;
    for (const std::string& name : names) slots[name] = Tensor::zeros(parameter.shape(), parameter.value().dtype());
}

// Calls f(elements, count) with the elements of every gradient, for reading.
template <class F>
void for_each_gradient(nn::Module& module, F&& f) {
    module.for_each_parameter([&](const nn::Parameter& parameter) {
        if (!wants_update(parameter)) return;
        with_float(parameter.grad(),
                   [&](auto zero) { f(parameter.grad().template data<decltype(zero)>(), parameter.grad().numel()); });
    });
}

// Calls change(element) for every element of every gradient. Gradients may share storage with another's: each is made
// the parameter's own first.
template <class F>
void change_gradients(nn::Module& module, F&& change) {
    module.for_each_parameter([&](nn::Parameter& parameter) {
        if (!wants_update(parameter)) return;
        Tensor grad = parameter.grad();
        parameter.zero_grad();
        if (!grad.unique()) grad = grad.clone();
        with_float(grad, [&](auto zero) {
            auto* g = grad.mutable_data<decltype(zero)>();
            parallel_for(grad.numel(), kGrain, [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) g[i] = change(g[i]);
            });
        });
        parameter.set_grad(std::move(grad));
    });
}

}  // namespace

Optimizer::Optimizer(double lr) : lr(lr) {
    check(std::isfinite(lr) && lr >= 0, "optimizer: expected a learning rate of 0 or more, got ", lr);
}

void Optimizer::step(nn::Module& module, double scale) {
    const std::vector<std::string> slots = slot_names();
    module.for_each_parameter([&](nn::Parameter& parameter) {
        if (!wants_update(parameter)) return;
        prepare_slots(parameter, slots);
        ++parameter.updates();
        update(parameter, lr * scale);
    });
}

double gradient_norm(nn::Module& module) {
    double total = 0;
    for_each_gradient(module, [&](const auto* g, int64_t count) {
        std::vector<double> partial(static_cast<size_t>((count + kGrain - 1) / kGrain));
        parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
            double sum = 0;
            for (int64_t i = begin; i < end; ++i) sum += static_cast<double>(g[i]) * static_cast<double>(g[i]);
            partial[static_cast<size_t>(begin / kGrain)] = sum;
        });
        for (double sum : partial) total += sum;
    });
    return std::sqrt(total);
}

double clip_gradient_norm(nn::Module& module, double max_norm) {
    const double norm = gradient_norm(module);
    const double factor = max_norm / (norm + 1e-6);  // PyTorch's guard against division by zero
    if (factor < 1) change_gradients(module, [=](auto g) { return g * static_cast<decltype(g)>(factor); });
    return norm;
}

void clip_gradient_value(nn::Module& module, double max) {
    change_gradients(module, [=](auto g) {
        const auto limit = static_cast<decltype(g)>(max);
        return std::clamp(g, -limit, limit);  // a NaN stays a NaN
    });
}

}  // namespace lathe::optim
