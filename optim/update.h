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

// Elements a task. An update waits for memory, not for arithmetic, so it is one pass over all arrays.
constexpr int64_t kUpdateGrain = 1 << 14;

}  // namespace lathe::optim
