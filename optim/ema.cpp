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

Ema::Ema(nn::Module& module, double decay) : module_(module), decay_(decay) {
    check(decay >= 0 && decay < 1, "ema: expected a decay in [0, 1), got ", decay);
    for_each([](Tensor&, Tensor&) {});
}

// Calls f(value, average) for every parameter and floating buffer; the average of one that was not there before starts
// from it.
template <class F>
void Ema::for_each(F&& f) {
    const auto visit = [&](const std::string& name, Tensor value) {
        Tensor& average = averages_[name];
        if (!average) average = value.clone();
        f(value, average);
    };
    for (const auto& [name, parameter] : module_.named_parameters()) visit(name, parameter->mutable_value());
    for (const auto& [name, buffer] : module_.named_buffers())
        if (is_float(buffer->dtype())) visit(name, *buffer);
}

void Ema::update(int64_t t) {
    const double decay = std::min(decay_, static_cast<double>(1 + t) / static_cast<double>(10 + t));
    for_each([&](Tensor& values, Tensor& averages) {
        for_each_pair(values, averages, [=](auto value, auto& average) {
            average += static_cast<decltype(value)>(1 - decay) * (value - average);
        });
    });
}

void Ema::swap() {
    for_each([](Tensor& values, Tensor& averages) {
        for_each_pair(values, averages, [](auto& value, auto& average) { std::swap(value, average); });
    });
}

void Ema::load_state(const std::map<std::string, Tensor>& state) {
    std::map<std::string, Tensor> left = state;
    averages_.clear();
    for_each([](Tensor&, Tensor&) {});
    for (auto& [name, average] : averages_) {
        const auto found = left.find(name);
        check(found != left.end(), "ema: the average of '", name, "' is missing");
        average.copy_(found->second);
        left.erase(found);
    }
    check(left.empty(), "ema: '", left.empty() ? "" : left.begin()->first, "' is not part of this model");
}

}  // namespace lathe::optim
