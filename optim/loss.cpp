#include "lathe/optim/loss.h"

#include "lathe/core/ops/l1.h"
#include "lathe/core/ops/mse.h"

namespace lathe::optim {

Loss cross_entropy(const ops::CrossEntropyOptions& options) {
    return [options](const Variable& output, const data::Batch& batch) {
        return ops::cross_entropy(output, batch.target(), options);
    };
}

Loss mse() {
    return [](const Variable& output, const data::Batch& batch) { return ops::mse(output, batch.target()); };
}

Loss l1() {
    return [](const Variable& output, const data::Batch& batch) { return ops::l1(output, batch.target()); };
}

Loss reconstruction_error() {
    return [](const Variable& output, const data::Batch& batch) {
        return ops::mse(output, batch.input().reshape(output.shape()));
    };
}

}  // namespace lathe::optim
