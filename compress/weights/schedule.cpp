#include "lathe/compress/weights/schedule.h"

#include <algorithm>
#include <cmath>

namespace lathe::compress {

namespace {

constexpr int64_t kUpdates = 50;  // of gradual, unless told otherwise

constexpr std::pair<PruneSchedule::Kind, const char*> kKindNames[] = {
    {PruneSchedule::oneshot, "oneshot"}, {PruneSchedule::iterative, "iterative"}, {PruneSchedule::gradual, "gradual"}};

int64_t steps(const optim::Position& at) { return at.steps_per_epoch * at.epochs; }
int64_t step_of(double share, const optim::Position& at) {
    return std::min<int64_t>(steps(at) - 1, std::llround(share * static_cast<double>(steps(at))));
}
int64_t round_steps(const optim::Position& at, int64_t rounds) { return at.epochs / rounds * at.steps_per_epoch; }

}  // namespace

const char* name_of(PruneSchedule::Kind kind) {
    for (const auto& [known, name] : kKindNames)
        if (known == kind) return name;
    return "?";
}

PruneSchedule::Kind prune_schedule_of(const std::string& name) {
    for (const auto& [kind, known] : kKindNames)
        if (name == known) return kind;
    fail("prune schedule: expected oneshot, iterative or gradual, got '", name, "'");
}

void rewind(nn::Module& module, const nn::Snapshot& earlier) {
    static const std::string name = "rewind";
    const PathScope scope(name);
    earlier.restore(module, {.transforms = false, .training = false});
}

PruneHook::PruneHook(nn::Module& module, const WeightPruneOptions& options, const PruneSchedule& schedule,
                     std::optional<nn::Snapshot> rewind_to)
    : pruner_(module, options), schedule_(schedule), rewind_to_(std::move(rewind_to)) {
    check(schedule.rounds >= 1, "prune schedule: expected at least 1 round, got ", schedule.rounds);
    check(schedule.begin >= 0 && schedule.begin <= schedule.end && schedule.end <= 1,
          "prune schedule: expected 0 <= begin <= end <= 1, got ", schedule.begin, " and ", schedule.end);
    check(schedule.every >= 0, "prune schedule: expected 0 or more steps between updates, got ", schedule.every);
}

int64_t PruneHook::last_update(const optim::Position& at) const {
    if (schedule_.kind == PruneSchedule::oneshot) return 0;
    if (schedule_.kind == PruneSchedule::iterative) return (schedule_.rounds - 1) * round_steps(at, schedule_.rounds);
    return step_of(schedule_.end, at);
}

void PruneHook::prune(const WeightPruner::OnTheWay& on_the_way, bool regrow) {
    const WeightReport report = pruner_.prune(on_the_way, regrow);
    if (on_prune) on_prune(report);
}

void PruneHook::before_step(const optim::Position& at) {
    const int64_t last = last_update(at);
    if (at.step > last) return;
    if (schedule_.kind == PruneSchedule::gradual) {
        const int64_t first = step_of(schedule_.begin, at);
        const int64_t every = schedule_.every ? schedule_.every : std::max<int64_t>(1, (last - first) / kUpdates);
        if (at.step < first || (at.step != last && (at.step - first) % every != 0)) return;
        const double left = last > first ? static_cast<double>(last - at.step) / static_cast<double>(last - first) : 0;
        return prune([=](double initial, double final) { return final + (initial - final) * std::pow(left, 3); }, true);
    }
    const int64_t rounds = schedule_.kind == PruneSchedule::oneshot ? 1 : schedule_.rounds;
    check(at.epochs >= rounds, "prune schedule: expected at least one epoch for each of ", rounds, " rounds, got ",
          at.epochs);
    const int64_t length = round_steps(at, rounds);
    if (at.step % length != 0) return;
    const double share = static_cast<double>(at.step / length + 1) / static_cast<double>(rounds);
    prune([=](double initial, double final) {
        return initial < 1 ? 1 - (1 - initial) * std::pow((1 - final) / (1 - initial), share) : 1;
    }, false);
    if (rewind_to_) rewind(pruner_.module(), *rewind_to_);
}

void PruneHook::before_update(const optim::Position& at) {
    if (!settled(at)) collect_scores(pruner_.parameters(), pruner_.options().importance.kind);
}

optim::RunSettings PruneHook::settings() const {
    const WeightPruneOptions& o = pruner_.options();
    std::string text = concatenated(name_of(schedule_.kind), " ", schedule_.rounds, " ", schedule_.begin, " ",
                                      schedule_.end, " ", schedule_.every, ", ", o.sparsity, " ", o.pattern.str(), " ",
                                      name_of(o.importance.kind), o.global ? " global" : "");
    for (const auto& [pattern, sparsity] : o.layers) text += concatenated(" ", pattern, "=", sparsity);
    return {{"pruning", text}};
}

}  // namespace lathe::compress
