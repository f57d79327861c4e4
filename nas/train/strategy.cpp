#include "lathe/nas/train/strategy.h"

#include "lathe/data/resize.h"

namespace lathe::nas {

optim::FitOptions Strategy::fitted(optim::FitOptions options) {
    options.step = [this](const optim::Forward& forward, const optim::Loss& loss, const data::Batch& batch) {
        const SubnetScope scope(net_, net_.largest());
        return step(forward, loss, batch);
    };
    options.hooks.push_back(this);
    return options;
}

optim::RunSettings Strategy::settings() const { return {{"strategy", name_}}; }

Variable Strategy::run(const Subnet& subnet, const optim::Forward& forward, const data::Batch& batch) {
    net_.use(subnet);
    const int64_t side = net_.active_image_size();
    return forward({.inputs = {data::resized(batch.input(), side, side)}, .targets = batch.targets});
}

Random Strategy::random() const { return Random(seed_, static_cast<uint64_t>(at_.step)); }

}  // namespace lathe::nas
