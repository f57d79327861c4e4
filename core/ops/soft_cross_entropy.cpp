#include "lathe/core/ops/soft_cross_entropy.h"

#include "lathe/core/kernels/rows/softmax.h"
#include "lathe/core/ops/detail/row_loss.h"

namespace lathe::ops {

Variable soft_cross_entropy(const Variable& logits, const Tensor& target) {
    check(logits.value().rank() >= 1 && target.shape() == logits.shape(),
          "soft_cross_entropy: expected logits and target of one shape [.., K], got ", logits.shape(), " and ",
          target.shape());

    // The loss of a row is sum t (lse - x), its gradient softmax(x) sum t - t.
    auto row = [&]<class T>(int64_t i, int64_t classes, const T* x, T* gradient) {
        const T* t = target.data<T>() + i * classes;
        const T log_sum = kernels::softmax_row(classes, T(1), x, gradient), weight = kernels::sum_run(classes, t);
        T loss = 0;
        for (int64_t j = 0; j < classes; ++j) {
            loss += t[j] * (log_sum - x[j]);
            gradient[j] = gradient[j] * weight - t[j];
        }
        return loss;
    };
    return row_loss("soft_cross_entropy", logits, target, row_count(logits), row);
}

namespace row {
OpInfo soft_cross_entropy() {
    return {.name = "soft_cross_entropy",
            .min_inputs = 2,
            .max_inputs = 2,
            .run = [](const Attributes&, Inputs x, Mode) { return ops::soft_cross_entropy(x[0], x[1].value()); },
            .shape = loss_shape};
}
}  // namespace row

}  // namespace lathe::ops
