#include "lathe/compress/channels/batch_norm_sparsity.h"

#include "lathe/core/ops/add.h"
#include "lathe/core/ops/cross_entropy.h"
#include "lathe/core/ops/l1.h"
#include "lathe/core/ops/scale.h"
#include "lathe/nn/layers/batch_norm.h"

namespace lathe::compress {

optim::Loss with_batch_norm_sparsity(nn::Module& module, double strength, optim::Loss loss) {
    check(strength >= 0, "batch norm sparsity: expected a strength of 0 or more, got ", strength);
    std::vector<nn::BatchNorm*> norms;
    for (const auto& [name, layer] : module.named_modules())
        if (auto* norm = dynamic_cast<nn::BatchNorm*>(layer)) norms.push_back(norm);
    check(!norms.empty(), "batch norm sparsity: expected a network with batch norms, got none");
    if (!loss) loss = [](const Variable& output, const data::Batch& batch) { return ops::cross_entropy(output, batch.labels); };
    return [=](const Variable& output, const data::Batch& batch) {
        Variable total = loss(output, batch);
        for (nn::BatchNorm* norm : norms) {
            const Variable scale = norm->weight.effective();
            const Variable mean = ops::l1(scale, Tensor::zeros(scale.shape(), scale.dtype()));
            total = ops::add(total, ops::scale(mean, strength * static_cast<double>(scale.value().numel())));
        }
        return total;
    };
}

}  // namespace lathe::compress
