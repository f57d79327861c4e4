#pragma once
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

struct KlDivOptions {
    double temperature = 1;  // logits are divided by it: above 1 the teacher's smaller probabilities count more
};

// Knowledge distillation: T^2 times the mean over all rows of KL(softmax(teacher / T) || softmax(logits / T)). The
// factor keeps the gradients' size about the same for every T (Hinton, Vinyals and Dean 2015, 1503.02531, section 2).
// logits [.., K], teacher logits [.., K] (a constant)  ->  a single number.   Error: the shapes differ, T is not above
// 0.
Variable kl_div(const Variable& logits, const Tensor& teacher, const KlDivOptions& options = {});

}  // namespace lathe::ops
