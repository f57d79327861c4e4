#include "lathe/optim/distill.h"

#include <cmath>

#include "lathe/core/ops/add.h"
#include "lathe/core/ops/cross_entropy.h"
#include "lathe/core/ops/scale.h"
#include "lathe/core/ops/soft_cross_entropy.h"
#include "lathe/core/ops/softmax.h"

namespace lathe::optim {

Loss distill(nn::Module& teacher, const DistillOptions& o) {
    check(o.weight >= 0 && o.weight <= 1, "distill: expected a weight in [0, 1], got ", o.weight);
    check(o.temperature > 0 && std::isfinite(o.temperature), "distill: expected a temperature above 0, got ", o.temperature);
    return [&teacher, o](const Variable& output, const data::Batch& batch) {
        Tensor soft;
        {
            const nn::ModeScope mode(teacher, false);
            const NoGrad no_grad;
            soft = ops::softmax(ops::scale(teacher(batch.x), 1 / o.temperature)).value();
        }
        const Variable from_labels = ops::cross_entropy(output, batch.labels, {.label_smoothing = o.label_smoothing});
        const Variable from_teacher = ops::soft_cross_entropy(ops::scale(output, 1 / o.temperature), soft);
        return ops::add(ops::scale(from_labels, 1 - o.weight), ops::scale(from_teacher, o.weight * o.temperature * o.temperature));
    };
}

}  // namespace lathe::optim
