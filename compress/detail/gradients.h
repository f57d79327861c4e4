#pragma once
#include <functional>

#include "lathe/data/dataset.h"
#include "lathe/nn/module.h"

namespace lathe::compress::detail {

// Calls use(number of batches) for each batch of so many labelled images, drawn by the seed, with the gradients of its
// cross entropy in their place; the module is in evaluation mode. No gradient is left behind.
void for_each_gradient(nn::Module& module, const data::Dataset& data, int64_t images, uint64_t seed,
                       const std::function<void(int64_t batches)>& use);

}  // namespace lathe::compress::detail
