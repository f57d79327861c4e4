#include "lathe/core/ops/kl_div.h"

#include "lathe/core/kernels/rows/softmax.h"
#include "lathe/core/ops/detail/row_loss.h"

namespace lathe::ops {

Variable kl_div(const Variable& logits, const Tensor& teacher, const KlDivOptions& options) {
    const double temperature = options.temperature;
    check(temperature > 0, "kl_div: expected a temperature above 0, got ", temperature);
    check(logits.value().rank() >= 1 && teacher.shape() == logits.shape(),
          "kl_div: expected logits of two models of one shape [.., K], got ", logits.shape(), " and ", teacher.shape());

    // With q and p the softened probabilities of teacher and student, log p = x / T - lse: the loss of a row is
    // T^2 sum q (log q - log p), its gradient T (p - q).
    auto row = [&]<class T>(int64_t i, int64_t classes, const T* x, T* gradient) {
        Workspace<T> softened(static_cast<size_t>(classes));
        const T inverse = static_cast<T>(1 / temperature), factor = static_cast<T>(temperature);
        const T *u = teacher.data<T>() + i * classes, *q = softened.data();
        const T teacher_log_sum = kernels::softmax_row(classes, inverse, u, softened.data());
        const T log_sum = kernels::softmax_row(classes, inverse, x, gradient);
        T loss = 0;
        for (int64_t j = 0; j < classes; ++j) {
            loss += q[j] * (inverse * (u[j] - x[j]) + log_sum - teacher_log_sum);
            gradient[j] = factor * (gradient[j] - q[j]);
        }
        return factor * factor * loss;
    };
    auto attributes = [&] { return Attributes{{"temperature", temperature}}; };
    return row_loss("kl_div", logits, teacher, row_count(logits), row, attributes);
}

namespace row {
OpInfo kl_div() {
    return {.name = "kl_div",
            .min_inputs = 2,
            .max_inputs = 2,
            .attributes = {{.type = AttributeSpec::real, .name = "temperature", .otherwise = 1.0}},
            .run = [](const Attributes& a, Inputs x,
                      Mode) { return ops::kl_div(x[0], x[1].value(), {.temperature = a.real("temperature")}); },
            .shape = loss_shape};
}
}  // namespace row

}  // namespace lathe::ops
