#pragma once
#include <algorithm>

#include "lathe/core/parallel.h"
#include "lathe/nn/parameter.h"

namespace lathe::optim {

// Calls body(begin, end, weight, gradient, slot...) with typed pointers to a parameter's arrays, over ranges cut by its size
// alone. An update waits for memory, not for arithmetic, so each body is one plain loop that reads and writes every
// array once.
template <class Body, class... Names>
void for_ranges(nn::Parameter& parameter, Body&& body, const Names&... slot_names) {
    with_float(parameter.value(), [&](auto zero) {
        using T = decltype(zero);
        T* weight = parameter.mutable_value().template mutable_data<T>();
        const T* gradient = parameter.grad().template data<T>();
        auto run = [&](auto*... slots) {
            parallel_for(parameter.value().numel(), 1 << 14,
                         [&](int64_t begin, int64_t end) { body(begin, end, weight, gradient, slots...); });
        };
        run(parameter.slots().at(slot_names).template mutable_data<T>()...);
    });
}

inline double decay_of(const nn::Parameter& parameter, double weight_decay, bool decay_biases) {
    return decay_biases || parameter.value().rank() > 1 ? weight_decay : 0;
}

}  // namespace lathe::optim
