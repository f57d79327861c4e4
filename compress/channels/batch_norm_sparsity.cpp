#include "lathe/compress/channels/batch_norm_sparsity.h"

#include <set>

#include "lathe/core/ops/add.h"
#include "lathe/core/ops/l1.h"
#include "lathe/core/ops/scale.h"

namespace lathe::compress {

optim::Loss with_batch_norm_sparsity(nn::Module& module, double strength, optim::Loss loss) {
    check(strength >= 0, "batch norm sparsity: expected a strength of 0 or more, got ", strength);
    // A scale is the weight that stands beside a running variance, whatever module or graph holds both.
    std::set<std::string> with_variance;
    for (const auto& [name, buffer] : module.named_buffers())
        if (const std::string suffix = "running_var"; name.ends_with(suffix))
            with_variance.insert(name.substr(0, name.size() - suffix.size()));
    std::vector<nn::Parameter*> scales;
    for (const auto& [name, parameter] : module.named_parameters())
        if (const std::string suffix = "weight";
            name.ends_with(suffix) && with_variance.count(name.substr(0, name.size() - suffix.size())))
            scales.push_back(parameter);
    check(!scales.empty(), "batch norm sparsity: expected a network with batch norms, got none");
    return [=](const Variable& output, const data::Batch& batch) {
        Variable total = loss(output, batch);
        for (nn::Parameter* weight : scales) {
            const Variable scale = weight->effective();
            const Variable mean = ops::l1(scale, Tensor::zeros(scale.shape(), scale.dtype()));
            total = ops::add(total, ops::scale(mean, strength * static_cast<double>(scale.value().numel())));
        }
        return total;
    };
}

}  // namespace lathe::compress
