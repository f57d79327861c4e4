#pragma once
#include <functional>

#include "lathe/core/ops/cross_entropy.h"
#include "lathe/core/tape/variable.h"
#include "lathe/data/dataset.h"

namespace lathe::optim {

// The loss of a batch, from what the network made of its inputs: a single number on the tape. What else it needs
// (teachers, regularisers) the function captures; those that add something take a Loss and give one back.
using Loss = std::function<Variable(const Variable& output, const data::Batch& batch)>;

// Means over the batch of an op of core/ops with the target.
Loss cross_entropy(const ops::CrossEntropyOptions& options = {});  // logits [.., K], target i32 [..]
Loss mse();                                                        // output and target of one shape
Loss l1();                                                         // likewise

// The mean squared error between the output and the input, of any shapes with as many elements.
Loss reconstruction_error();

}  // namespace lathe::optim
