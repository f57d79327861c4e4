#include "lathe/optim/ema.h"

#include <algorithm>
#include <utility>

#include "lathe/core/parallel.h"

namespace lathe::optim {

namespace {

// Calls f(value, average) for every pair of elements of two tensors of one floating type.
template <class F>
void for_each_pair(Tensor& values, Tensor& averages, F&& f) {
    check(values.shape() == averages.shape(), "ema: a weight of shape ", averages.shape(), " now has ", values.shape());
    with_float(values, [&](auto zero) {
        auto* value = values.mutable_data<decltype(zero)>();
        auto* average = averages.mutable_data<decltype(zero)>();
        parallel_for(values.numel(), 1 << 14, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) f(value[i], average[i]);
        });
    });
}

}  // namespace

Ema::Ema(nn::Module& module, double decay) : decay_(decay) {
    check(decay >= 0 && decay < 1, "ema: expected a decay in [0, 1), got ", decay);
    for (const auto& [name, parameter] : module.named_parameters())
        pairs_.push_back({name, &parameter->value(), parameter->value().clone()});
    for (const auto& [name, buffer] : module.named_buffers())
        if (is_float(buffer->dtype())) pairs_.push_back({name, buffer, buffer->clone()});
}

void Ema::update(int64_t t) {
    const double decay = std::min(decay_, static_cast<double>(1 + t) / static_cast<double>(10 + t));
    for (Pair& pair : pairs_)
        for_each_pair(*pair.value, pair.average, [=](auto value, auto& average) {
            average += static_cast<decltype(value)>(1 - decay) * (value - average);
        });
}

void Ema::swap() {
    for (Pair& pair : pairs_)
        for_each_pair(*pair.value, pair.average, [](auto& value, auto& average) { std::swap(value, average); });
}

std::map<std::string, Tensor> Ema::state() const {
    std::map<std::string, Tensor> state;
    for (const Pair& pair : pairs_) state[pair.name] = pair.average;
    return state;
}

void Ema::load_state(const std::map<std::string, Tensor>& state) {
    for (Pair& pair : pairs_) {
        const auto found = state.find(pair.name);
        check(found != state.end(), "ema: the average of '", pair.name, "' is missing");
        pair.average.copy_(found->second);
    }
    check(state.size() == pairs_.size(), "ema: expected ", pairs_.size(), " averages, got ", state.size());
}

}  // namespace lathe::optim
