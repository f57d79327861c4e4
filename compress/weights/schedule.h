#pragma once
#include <functional>
#include <optional>
#include <string>

#include "lathe/compress/weights/prune.h"
#include "lathe/nn/snapshot.h"
#include "lathe/optim/trainer.h"

namespace lathe::compress {

// When a run prunes, and how far. s0 is the sparsity of the masks at its beginning, s the final one.
struct PruneSchedule {
    enum Kind {
        oneshot,    // all before the first step
        iterative,  // in `rounds` of equal length, each taking the same share of the weights that are left: after round
                    // k, 1 - (1 - s0) ((1 - s) / (1 - s0))^(k / rounds) are zero (Han et al. 2015, arXiv 1506.02626)
        gradual,  // s + (s0 - s) (1 - p)^3, p from 0 to 1 between `begin` and `end`; weights may come back until then
                  // (Zhu and Gupta 2017, arXiv 1710.01878)
    } kind = gradual;
    int64_t rounds = 3;           // of whole epochs: the run's, divided by it; the last takes the rest
    double begin = 0, end = 0.5;  // shares of the run
    int64_t every = 0;            // steps between two updates of gradual; 0: about fifty updates
};
PruneSchedule::Kind prune_schedule_of(const std::string& name);  // "oneshot", "iterative", "gradual". Error: another
const char* name_of(PruneSchedule::Kind kind);

// Sets parameters and buffers back to those of an earlier time and forgets the optimizer's; masks stay. Error: the
// snapshot is of another module.
void rewind(nn::Module& module, const nn::Snapshot& earlier);

// Prunes while a Trainer trains: FitOptions{.hooks = {&hook}}. A run that is resumed needs a hook made the same, over a
// module that is pruned like the one the run began with; then it ends with the same bits.
//
//     compress::PruneHook gradually(model, {.sparsity = 0.9}, {.kind = compress::PruneSchedule::gradual});
//     trainer.fit(train, test, {.epochs = 10, .hooks = {&gradually}});
//
// With `rewind_to`, every round goes back to those weights once it has pruned: lottery tickets (Frankle and Carbin
// 2018, arXiv 1803.03635; from an early epoch on: Frankle et al. 2019, arXiv 1903.01611). Give the learning rate as
// many restarts as rounds.
class PruneHook : public optim::StepHook {
public:
    // Error: as WeightPruner, or a schedule out of range.
    PruneHook(nn::Module& module, const WeightPruneOptions& options, const PruneSchedule& schedule,
              std::optional<nn::Snapshot> rewind_to = {});

    const WeightPruner& pruner() const { return pruner_; }
    std::function<void(const WeightReport&)> on_prune{};  // told what each update masked

    void before_step(const optim::Position& at) override;
    void before_update(const optim::Position& at) override;
    bool settled(const optim::Position& at) const override { return at.step > last_update(at); }
    optim::RunSettings settings() const override;

private:
    int64_t last_update(const optim::Position& at) const;  // its step
    void prune(const WeightPruner::OnTheWay& on_the_way, bool regrow);

    WeightPruner pruner_;
    PruneSchedule schedule_;
    std::optional<nn::Snapshot> rewind_to_;
};

}  // namespace lathe::compress
