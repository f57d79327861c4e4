#include "lathe/core/ops/add.h"
#include "lathe/core/ops/kl_div.h"
#include "lathe/core/ops/scale.h"
#include "lathe/nas/train/strategy.h"

namespace lathe::nas {

namespace {

class Sandwich : public Strategy {
public:
    Sandwich(Supernet& net, const SandwichOptions& o)
        : Strategy(net, concatenated("sandwich, ", o.random, " random, distill ", o.distill), o.seed),
          random_(o.random), distill_(o.distill) {
        check(o.random >= 0, "sandwich: expected 0 random subnets or more, got ", o.random);
        check(o.distill >= 0 && o.distill <= 1, "sandwich: expected to distill a share in [0, 1], got ", o.distill);
    }

private:
    optim::StepResult step(const optim::Forward& forward, const optim::Loss& loss, const data::Batch& batch) override {
        const Variable output = run(net_.largest(), forward, batch);
        const Variable of_labels = loss(output, batch);
        backward(of_labels);
        Random random = this->random();
        const auto follow = [&](const Subnet& subnet) {
            const Variable own = run(subnet, forward, batch);
            backward(ops::add(ops::scale(loss(own, batch), 1 - distill_),
                              ops::scale(ops::kl_div(own, output.value()), distill_)));
        };
        follow(net_.smallest());
        for (int i = 0; i < random_; ++i) follow(net_.sample(random));
        return {of_labels.value().item(), output.value()};
    }

    int random_;
    double distill_;
};

}  // namespace

std::unique_ptr<Strategy> sandwich(Supernet& net, const SandwichOptions& options) {
    return std::make_unique<Sandwich>(net, options);
}

}  // namespace lathe::nas
