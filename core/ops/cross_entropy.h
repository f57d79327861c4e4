#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

struct CrossEntropyOptions {
    // Share of the target spread evenly over all K classes (Szegedy et al. 2015, 1512.00567)
    double label_smoothing = 0;
};

// The mean over all rows of -log softmax(logits)[label].   logits [.., K], labels i32 [..]  ->  a single number.
// Error: a label is outside [0, K), the shapes do not fit, or smoothing is outside [0, 1].
Variable cross_entropy(const Variable& logits, const Tensor& labels, const CrossEntropyOptions& options = {});

}  // namespace lathe::ops
