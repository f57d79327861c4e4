#include "lathe/core/ops/kl_div.h"
#include "lathe/nas/train/strategy.h"

namespace lathe::nas {

namespace {

class Sandwich : public Strategy {
public:
    Sandwich(Supernet& net, const SandwichOptions& o)
        : Strategy(net, concatenated("sandwich, ", o.random, " random"), o.seed), random_(o.random) {
        check(o.random >= 0, "sandwich: expected 0 random subnets or more, got ", o.random);
    }

private:
    optim::StepResult step(const optim::Forward& forward, const optim::Loss& loss, const data::Batch& batch) override {
        const Variable output = run(net_.largest(), forward, batch);
        const Variable of_labels = loss(output, batch);
        backward(of_labels);
        Random random = this->random();
        const auto imitate = [&](const Subnet& subnet) {
            backward(ops::kl_div(run(subnet, forward, batch), output.value()));
        };
        imitate(net_.smallest());
        for (int i = 0; i < random_; ++i) imitate(net_.sample(random));
        return {of_labels.value().item(), output.value()};
    }

    int random_;
};

}  // namespace

std::unique_ptr<Strategy> sandwich(Supernet& net, const SandwichOptions& options) {
    return std::make_unique<Sandwich>(net, options);
}

}  // namespace lathe::nas
