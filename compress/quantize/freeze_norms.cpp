#include "lathe/compress/quantize/freeze_norms.h"

#include "lathe/compress/quantize/folded_norm.h"

namespace lathe::compress {

FreezeNorms::FreezeNorms(nn::Module& module, std::optional<double> epochs) : epochs_(epochs) {
    check(!epochs || *epochs >= 0, "freeze_norms: expected 0 epochs or more, got ", epochs.value_or(0));
    bool simulated = false;
    for (const auto& [name, parameter] : module.named_parameters())
        if (const auto* norm = parameter->find_transform<FoldedNorm>()) {
            simulated = true;
            if (norm->norm_weight().trainable()) weights_.push_back(&norm->norm_weight());
        }
    check(simulated, "freeze_norms: expected simulated norms, got none");
}

void FreezeNorms::before_step(const optim::Position& at) {
    const bool trains = at.epoch() < epochs_.value_or(0.9 * static_cast<double>(at.epochs));
    for (nn::Parameter* weight : weights_)
        if (weight->trainable() != trains) weight->set_trainable(trains);
}

std::string FreezeNorms::when() const {
    return epochs_ ? concatenated("after ", *epochs_, *epochs_ == 1 ? " epoch" : " epochs") : "after nine tenths";
}

optim::RunSettings FreezeNorms::settings() const { return {{"norms frozen", when()}}; }

}  // namespace lathe::compress
