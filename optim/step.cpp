#include "lathe/optim/step.h"

#include <algorithm>

#include "lathe/core/ops/scale.h"

namespace lathe::optim {

Step plain_step() {
    return [](const Forward& forward, const Loss& loss, const data::Batch& batch) {
        const Variable output = forward(batch);
        const Variable value = loss(output, batch);
        backward(value);
        return StepResult{value.value().item(), output.value()};
    };
}

Step accumulated(int64_t parts) {
    check(parts >= 1, "accumulated: expected at least 1 part, got ", parts);
    return [parts](const Forward& forward, const Loss& loss, const data::Batch& batch) {
        StepResult result;
        Tensor& outputs = result.output;
        const int64_t size = batch.size(), count = std::min(parts, size);
        for (int64_t part = 0; part < count; ++part) {
            const int64_t begin = size * part / count, end = size * (part + 1) / count;
            const data::Batch some = batch.rows(begin, end - begin);
            const Variable output = forward(some);
            const double share = static_cast<double>(end - begin) / static_cast<double>(size);
            const Variable value = ops::scale(loss(output, some), share);
            backward(value);
            result.loss += value.value().item();
            if (!outputs) {
                Shape shape = output.shape();
                shape[0] = size;
                outputs = Tensor(shape, output.value().dtype());
            }
            outputs.rows(begin, end - begin).copy_(output.value());
        }
        return result;
    };
}

}  // namespace lathe::optim
