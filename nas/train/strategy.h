#pragma once
#include <memory>
#include <string>

#include "lathe/nas/elastic/supernet.h"
#include "lathe/optim/trainer.h"

namespace lathe::nas {

// How the subnets of a supernet are trained together: which ones a step of optim::Trainer runs, and what each learns
// from. Give fit() its step, its hook and its schedule:
//
//     const auto strategy = nas::sandwich(net);
//     optim::Trainer(net, optim::sgd({.lr = 0.05})).fit(train, validation, strategy->fitted({.epochs = 30}));
//
// The same seed trains the same subnets, also when the run is stopped and resumed. After every step the largest is
// active: that is what fit() validates, calibrated (Supernet::calibrate_on).
class Strategy : public optim::StepHook {
public:
    // The options with the strategy's step, its schedule if it has one, and itself as a hook: it must outlive fit().
    virtual optim::FitOptions fitted(optim::FitOptions options);
    optim::RunSettings settings() const override;
    void before_step(const optim::Position& at) override { at_ = at; }

protected:
    Strategy(Supernet& net, std::string name, uint64_t seed) : net_(net), name_(std::move(name)), seed_(seed) {}

    // Adds the gradients of one batch.
    virtual optim::StepResult step(const optim::Forward& forward, const optim::Loss& loss,
                                   const data::Batch& batch) = 0;
    // The subnet's outputs for the batch, its images scaled to the subnet's size.
    Variable run(const Subnet& subnet, const optim::Forward& forward, const data::Batch& batch);
    Random random() const;  // of this step

    Supernet& net_;
    optim::Position at_;

private:
    std::string name_;
    uint64_t seed_;
};

// Every step trains the largest subnet on the labels, and the smallest and some random ones to give what the largest
// gave (Yu et al. 2020, "BigNAS", arXiv 2003.11142: the sandwich rule with in-place distillation). Their gradients add
// up. At first the largest knows nothing, so in short trainings the others do better with labels, too.
struct SandwichOptions {
    int random = 2;      // subnets beside the two
    double distill = 1;  // share of its outputs in what the others learn, the rest being the labels'; in [0, 1]
    uint64_t seed = 0;
};
std::unique_ptr<Strategy> sandwich(Supernet& net, const SandwichOptions& options = {});

// First the largest network, then with it as the teacher one choice after the other becomes elastic (Cai et al. 2020,
// arXiv 1908.09791: progressive shrinking). The stages are a table in progressive.cpp. Before channels become elastic
// the most important ones go first. The learning rate falls along a cosine in every stage.
struct ProgressiveOptions {
    std::string teacher;  // file that keeps the teacher for a resumed run; empty: memory alone
    uint64_t seed = 0;
};
std::unique_ptr<Strategy> progressive(Supernet& net, const ProgressiveOptions& options = {});

}  // namespace lathe::nas
