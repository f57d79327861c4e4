#include <cmath>
#include <numbers>

#include "lathe/core/ops/add.h"
#include "lathe/core/ops/kl_div.h"
#include "lathe/nas/train/strategy.h"
#include "lathe/nn/files/model_file.h"

namespace lathe::nas {

namespace {

// A stage of the run.
struct Stage {
    const char* name;
    Reach reach;    // from how many of their largest values choices are made
    double share;   // of all steps
    double lr;      // factor of the run's learning rate at the beginning; it falls to 0
    int subnets;    // that every step trains
};

// Once-for-all's stages (mit-han-lab/once-for-all, train_ofa_net.py) and, as MCUNet has it, the width at last. Each
// small value is preceded by the one above it, which once-for-all calls phases.
constexpr Stage kStages[] = {
    // name        image size, kernel, depth, expansion, width   share    lr  subnets
    {"full network", {1,          1,      1,     1,         1},    0.30, 1.0,   1},
    {"kernel",       {kAll,       kAll,   1,     1,         1},    0.15, 0.3,   1},
    {"depth 1",      {kAll,       kAll,   2,     1,         1},    0.05, 0.1,   2},
    {"depth 2",      {kAll,       kAll,   kAll,  1,         1},    0.15, 0.3,   2},
    {"expansion 1",  {kAll,       kAll,   kAll,  2,         1},    0.05, 0.1,   3},
    {"expansion 2",  {kAll,       kAll,   kAll,  kAll,      1},    0.10, 0.3,   3},
    {"width 1",      {kAll,       kAll,   kAll,  kAll,      2},    0.05, 0.1,   4},
    {"width 2",      {kAll,       kAll,   kAll,  kAll,      kAll}, 0.15, 0.3,   4},
};
constexpr int kCount = std::size(kStages);

// Where a step is: in which stage, and how much of that is over, 0 to 1.
struct InStage {
    int stage = 0;
    int64_t step = 0;
    double done = 0;
};

InStage stage_of(const optim::Position& at) {
    const auto all = static_cast<double>(at.steps_per_epoch * at.epochs);
    double share = 0;
    int64_t begin = 0;
    for (int i = 0; i < kCount; ++i) {
        share += kStages[i].share;
        const int64_t end = i + 1 == kCount ? static_cast<int64_t>(all) : std::llround(share * all);
        if (at.step < end || i + 1 == kCount)
            return {i, at.step - begin, static_cast<double>(at.step - begin) / static_cast<double>(end - begin)};
        begin = end;
    }
    return {};
}

class Progressive : public Strategy {
public:
    Progressive(Supernet& net, const ProgressiveOptions& o)
        : Strategy(net, "progressive", o.seed), file_(o.teacher) {}

    optim::FitOptions fitted(optim::FitOptions options) override {
        options.schedule = {.text = "progressive", .warmup = 0, .curve = [](const optim::Position& at) {
                                const InStage in = stage_of(at);
                                return kStages[in.stage].lr * (1 + std::cos(std::numbers::pi * in.done)) / 2;
                            }};
        return Strategy::fitted(std::move(options));
    }

    // The first step of a stage changes the network, so the best one comes at the end.
    bool settled(const optim::Position& at) const override { return stage_of(at).stage == kCount - 1; }

    void before_step(const optim::Position& at) override {
        Strategy::before_step(at);
        const InStage in = stage_of(at);
        if (in.stage == 0) return;
        if (in.step == 0) {
            if (in.stage == 1) keep_teacher();
            net_.sort_channels(net_.smallest(kStages[in.stage - 1].reach), net_.smallest(kStages[in.stage].reach));
        }
        if (!teacher_) teacher_ = nn::load(file_);
    }

private:
    void keep_teacher() {
        teacher_ = net_.extract(net_.largest());
        if (!file_.empty()) nn::save(*teacher_, file_);
    }

    optim::StepResult step(const optim::Forward& forward, const optim::Loss& loss, const data::Batch& batch) override {
        const Stage& stage = kStages[stage_of(at_).stage];
        Tensor taught;
        if (teacher_ && stage.reach != kStages[0].reach) {
            const nn::ModeScope evaluation(*teacher_, false);
            const NoGrad no_grad;
            taught = (*teacher_)(batch.input()).value();
        }
        Random random = this->random();
        optim::StepResult result;
        for (int i = 0; i < stage.subnets; ++i) {
            const Variable output = run(net_.sample(random, stage.reach), forward, batch);
            const Variable of_labels = loss(output, batch);
            backward(taught ? ops::add(of_labels, ops::kl_div(output, taught)) : of_labels);
            if (i == 0) result = {of_labels.value().item(), output.value()};
        }
        return result;
    }

    std::string file_;
    std::unique_ptr<nn::Model> teacher_;
};

}  // namespace

std::unique_ptr<Strategy> progressive(Supernet& net, const ProgressiveOptions& options) {
    return std::make_unique<Progressive>(net, options);
}

}  // namespace lathe::nas
