#pragma once
#include "lathe/core/parallel.h"
#include "lathe/nn/parameter.h"

namespace lathe::optim {

// Weight decay of a parameter: with `decay_biases` off none for biases and the weights of norms, that is, parameters of
// rank 1.
inline double decay_of(const nn::Parameter& parameter, double weight_decay, bool decay_biases) {
    return decay_biases || parameter.value().rank() > 1 ? weight_decay : 0;
}

// The elements of a parameter's slot, for reading and writing.
template <class T>
T* slot(nn::Parameter& parameter, const char* name) {
    return parameter.slots().at(name).template mutable_data<T>();
}

// Calls f(begin, end) for the elements of the parameter that this step used, in parallel.
template <class F>
void for_each_used(const nn::Parameter& parameter, int64_t grain, F&& f) {
    for (const auto& [first, last] : parameter.used())
        parallel_for(last - first, grain,
                     [&, first = first](int64_t begin, int64_t end) { f(first + begin, first + end); });
}

// Elements a task. An update waits for memory, not for arithmetic, so it is one pass over all arrays.
constexpr int64_t kUpdateGrain = 1 << 14;

}  // namespace lathe::optim
