#include "lathe/optim/distill.h"

#include <cmath>

#include "lathe/core/ops/add.h"
#include "lathe/core/ops/kl_div.h"
#include "lathe/core/ops/scale.h"

namespace lathe::optim {

Loss distill(nn::Module& teacher, const DistillOptions& o) {
    check(o.weight >= 0 && o.weight <= 1, "distill: expected a weight in [0, 1], got ", o.weight);
    check(o.temperature > 0 && std::isfinite(o.temperature), "distill: expected a temperature above 0, got ",
          o.temperature);
    return [&teacher, o](const Variable& output, const data::Batch& batch) {
        Tensor taught;
        {
            const nn::ModeScope mode(teacher, false);
            const NoGrad no_grad;
            taught = teacher(batch.input()).value();
        }
        const Variable from_teacher = ops::kl_div(output, taught, {.temperature = o.temperature});
        return ops::add(ops::scale(o.labels(output, batch), 1 - o.weight), ops::scale(from_teacher, o.weight));
    };
}

}  // namespace lathe::optim
