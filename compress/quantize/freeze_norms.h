#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lathe/nn/module.h"
#include "lathe/optim/trainer.h"

namespace lathe::compress {

// Freezes simulated norms (simulate_norms.h) from a step of the run on: FitOptions{.hooks = {&hook}}. Their statistics
// and weights stand still, their biases train on, and training sees to the bit what evaluation computes (Jacob et al.
// 2017, arXiv 1712.05877; Krishnamoorthi 2018, arXiv 1806.08342, section 3.2.2; there the norms' weights train on, for
// which the layer's weights, which are multiplied by them, stand here).
class FreezeNorms : public optim::StepHook {
public:
    // After so many epochs, fractions of one included; unless given, after nine tenths of the run: a network without
    // norms bears only the small learning rates that are left by then (resnet20 with weights of 2 bits, cosine from
    // 0.02: 88 % until it was frozen after two thirds, at 0.005, and 10 % behind that). Error: below 0, a module
    // without simulated norms.
    explicit FreezeNorms(nn::Module& module, std::optional<double> epochs = {});

    std::string when() const;  // "after 2 epochs"
    void before_step(const optim::Position& at) override;
    optim::RunSettings settings() const override;

private:
    std::vector<nn::Parameter*> weights_;
    std::optional<double> epochs_;
};

}  // namespace lathe::compress
