#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// The mean over all rows of -sum_k target[k] log softmax(logits)[k], for soft targets such as mixed labels.
// logits [.., K], target [.., K] (probabilities, a constant)  ->  a single number.   Error: the shapes differ.
Variable soft_cross_entropy(const Variable& logits, const Tensor& target);

}  // namespace lathe::ops
