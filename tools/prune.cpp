#include <cstdio>

#include "lathe/compress/budget/latency.h"
#include "lathe/compress/channels/prune.h"
#include "lathe/compress/weights/schedule.h"
#include "lathe/core/print.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/common_options.h"
#include "lathe/tools/compression.h"

namespace lathe::tools {

namespace {

struct PruneOptions : CompressionOptions {
    std::string method = "magnitude", pattern = "auto", importance = "auto", scope = "uniform", macs = "pure";
    double sparsity = 0, target_size = 0, target_macs = 0, target_latency = 0, max_ratio = 1;
    int64_t round_to = 1;
    std::vector<std::string> layers, skip;
    bool prune_ties = false;
    int64_t scan_images = 2000;

    std::string schedule = "oneshot", rewind;
    compress::PruneSchedule when;
};

bool has_target(const PruneOptions& o) { return o.target_size > 0 || o.target_macs > 0 || o.target_latency > 0; }

// Layers with a sparsity, or ratio, of their own.
std::vector<std::pair<std::string, double>> layers_of(const PruneOptions& o) {
    std::vector<std::pair<std::string, double>> layers;
    for (const std::string& layer : o.layers)
        layers.push_back(parse_layer(layer, "--layer", "NAME=SPARSITY such as conv1=0.5"));
    return layers;
}

compress::Pattern pattern_of(const PruneOptions& o) {
    using compress::Pattern;
    const std::string usual = o.method == "nm" ? "2:4" : o.method == "block" ? "1x4" : "unstructured";
    const Pattern pattern = compress::parse_pattern(o.pattern == "auto" ? usual : o.pattern);
    const Pattern::Kind kind = o.method == "nm"      ? Pattern::n_of_m
                               : o.method == "block" ? Pattern::block
                                                     : Pattern::unstructured;
    check(pattern.kind == kind, "--pattern: expected one of method ", o.method, " such as ", usual, ", got '",
          o.pattern, "'");
    return pattern;
}

compress::WeightPruneOptions weight_options(const PruneOptions& o, const data::Dataset& images) {
    compress::WeightPruneOptions options{
        .sparsity = o.sparsity,
        .layers = layers_of(o),
        .global = o.scope == "global",
        .pattern = pattern_of(o),
        .ties = o.prune_ties ? compress::Ties::prune_all : compress::Ties::exact,
        .skip = o.skip,
        .importance = {.kind = compress::weight_importance_of(o.importance == "auto" ? "magnitude" : o.importance),
                       .seed = o.training.fit.seed,
                       .data = &images},
    };
    const bool nothing =
        options.sparsity == 0 && options.layers.empty() && options.pattern.kind != compress::Pattern::n_of_m;
    check(!nothing || has_target(o),
          "prune: expected --sparsity, --layer, --target-size, --target-macs or --target-latency");
    check(!has_target(o) || (o.sparsity == 0 && o.layers.empty() && o.scope != "global" &&
                             options.pattern.kind != compress::Pattern::n_of_m),
          "prune: a target chooses the sparsities itself; expected no --sparsity, --layer, --scope global or method nm "
          "beside it");
    return options;
}

compress::ChannelPruneOptions channel_options(const PruneOptions& o, const data::Dataset& images) {
    compress::ChannelPruneOptions options;
    options.ratio = o.sparsity;
    options.layers = layers_of(o);
    options.skip = o.skip;
    options.target_macs = o.target_macs;
    options.target_parameters = o.target_size;
    options.target_cost = o.target_latency;
    options.global = o.scope == "global";
    options.max_ratio = o.max_ratio;
    options.round_to = o.round_to;
    options.importance = {.kind = compress::channel_importance_of(o.importance == "auto" ? "l1" : o.importance),
                          .seed = o.training.fit.seed,
                          .data = &images};
    options.macs = o.macs == "lab" ? MacsCount::lab : MacsCount::pure;
    check(o.sparsity > 0 || !options.layers.empty() || has_target(o),
          "prune: expected --ratio, --layer, --target-size, --target-macs or --target-latency");
    check(o.when.kind == compress::PruneSchedule::oneshot,
          "prune: channels are cut in one go; expected --schedule oneshot, got ", o.schedule);
    check(o.rewind.empty(),
          "prune: weights with fewer channels cannot go back to others; expected no --rewind with method channel");
    return options;
}

// The sparsities that reach the target, from a scan on images held out of the training set.
std::vector<std::pair<std::string, double>> choose_sparsities(const PruneOptions& o, nn::Model& model,
                                                              const data::Dataset& held_out,
                                                              const compress::WeightPruneOptions& options) {
    const compress::Sensitivity sensitivity =
        scan_held_out(o, model, held_out, {.sparsities = {0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98},
                                           .pattern = options.pattern,
                                           .skip = options.skip,
                                           .importance = options.importance});
    compress::LatencyTable latency(o.out / kLatencyFile);
    const double share = std::max({o.target_size, o.target_macs, o.target_latency});  // the others are 0
    const compress::CostModel costs =
        o.target_size > 0   ? compress::size_cost(model, sensitivity)
        : o.target_macs > 0 ? compress::macs_cost(model, model.example(), sensitivity)
                            : compress::latency_cost(model, model.example(), sensitivity, options.pattern, latency);
    const char* unit = o.target_size > 0 ? "bytes" : o.target_macs > 0 ? "MACs" : "nanoseconds, one image";
    const compress::Allocation chosen = compress::allocate(sensitivity, costs, share * costs.dense);
    std::printf("sparsities for %.4g of dense %s, from %lld held-out images:\n%s\n", share, unit,
                static_cast<long long>(held_out.size()), chosen.str().c_str());
    return chosen.sparsities();
}

// Cuts whole channels: method channel.
void prune_channels(PruneOptions& o, nn::Model& model, const TrainingData& data) {
    compress::ChannelPruneOptions options = channel_options(o, data.plain);
    compress::LatencyTable latency(o.out / kLatencyFile);
    if (o.target_latency > 0) options.cost = [&](const Graph& graph) { return latency.seconds(graph); };
    Before before = measure("prune", "dense", "pruned", model, data.validation, o);
    print(compress::prune_channels(model, model.example(), options));
    before.now = accuracy(model, data.validation, o);
    finish(o, model, data, before, nn::Weights::encoded);
}

// Masks single weights: methods magnitude, nm and block.
void prune_weights(PruneOptions& o, nn::Model& model, TrainingData data) {
    compress::WeightPruneOptions options = weight_options(o, data.plain);
    if (has_target(o)) {
        const data::Dataset held_out = hold_out(data, o.scan_images, o.training.fit.seed, "prune");
        options.layers = choose_sparsities(o, model, held_out, options);
    }
    Before before = measure("prune", "dense", "pruned", model, data.validation, o);
    std::unique_ptr<compress::PruneHook> hook;
    compress::WeightReport last;  // of the hook
    if (o.when.kind == compress::PruneSchedule::oneshot) {
        print(compress::prune_weights(model, options));
        if (!o.rewind.empty()) compress::rewind(model, nn::Snapshot(*nn::load(o.rewind)));
        before.now = accuracy(model, data.validation, o);
    } else {
        check(o.finetune > 0, "prune: the schedule ", o.schedule,
              " prunes while it trains; expected --finetune EPOCHS");
        std::optional<nn::Snapshot> early;
        if (!o.rewind.empty()) early.emplace(*nn::load(o.rewind));
        hook = std::make_unique<compress::PruneHook>(model, options, o.when, early);
        std::printf("%s", compress::passed_over_note(hook->pruner().passed_over(), options.pattern).c_str());
        hook->on_prune = [&](const compress::WeightReport& report) { last = report; };
    }
    const bool in_rounds = o.when.kind == compress::PruneSchedule::iterative;  // every one a run of its own
    finish(o, model, data, before, nn::Weights::encoded, {.hook = hook.get(), .rounds = in_rounds ? o.when.rounds : 1});
    last.passed_over.clear();  // said at the beginning
    std::printf("%s", last.notes().c_str());
}

// What would change nothing is not taken in silence.
void check_no_idle_options(const CLI::App& command, const PruneOptions& o) {
    const auto only = [&](bool used, const char* where, std::initializer_list<const char*> names) {
        for (const char* name : names)
            check(used || command.get_option(name)->count() == 0, "prune: ", name, " is for ", where);
    };
    const bool channels = o.method == "channel";
    only(o.distill > 0, "distillation; expected --distill WEIGHT beside it", {"--temperature"});
    only(o.when.kind == compress::PruneSchedule::iterative, "--schedule iterative", {"--rounds"});
    only(o.when.kind == compress::PruneSchedule::gradual, "--schedule gradual", {"--begin", "--end"});
    only(channels, "--method channel", {"--round-to", "--max-ratio", "--macs"});
    only(!channels, "single weights; expected no --method channel", {"--pattern"});
    only(!channels && has_target(o), "a target of single weights", {"--scan-images"});
    check(!o.prune_ties || !channels, "prune: --prune-ties is for single weights; expected no --method channel");
    check(o.scope != "global" || o.method != "nm", "prune: N:M has no ranking; expected no --scope global");
}

void prune(CLI::App& command, PruneOptions& o) {
    o.enter(command);
    check((o.target_size > 0) + (o.target_macs > 0) + (o.target_latency > 0) <= 1,
          "prune: expected one target of --target-size, --target-macs and --target-latency, got more");
    o.when.kind = compress::prune_schedule_of(o.schedule);
    check_no_idle_options(command, o);
    check(o.when.kind != compress::PruneSchedule::iterative || o.finetune >= o.when.rounds,
          "prune: expected at least one epoch of --finetune for each of ", o.when.rounds, " rounds, got ", o.finetune);

    auto [model, data] = open(o, "prune");
    o.out.claim(command);
    std::printf("%s", data.describe().c_str());
    if (o.method == "channel") prune_channels(o, *model, data);
    else prune_weights(o, *model, data);
}

}  // namespace

void add_prune(CLI::App& app) {
    auto o = std::make_shared<PruneOptions>();
    CLI::App& c =
        *app.add_subcommand("prune", "Zero weights or cut channels of a trained model, and train what is left");
    o->add_model_to(c);

    c.add_option("--method", o->method,
                 "magnitude: single weights; nm: N of M neighbouring input channels; block: blocks of channels; "
                 "channel: whole channels, for a smaller network")
        ->check(CLI::IsMember({"magnitude", "nm", "block", "channel"}))
        ->capture_default_str();
    c.add_option("--pattern", o->pattern, "2:4, 1:4 (nm); 1x4, 4x1 (block: outputs x inputs); auto: 2:4 or 1x4")
        ->capture_default_str();
    c.add_option("--importance", o->importance,
                 "Of a weight: magnitude (auto), taylor, movement, random; of a channel: l1 (auto), l2, next-l2 (the "
                 "course lab's), batch-norm, geometric-median, taylor, random, order")
        ->capture_default_str();
    c.add_option("--sparsity,--ratio", o->sparsity, "Share of zeros, or of channels to cut, in [0,1)")
        ->capture_default_str();
    c.add_option("--layer", o->layers,
                 "NAME=SPARSITY,… (or RATIO) for some layers; * stands for anything; the last that matches counts")
        ->delimiter(',')
        ->expected(1, 1000);
    c.add_option("--skip", o->skip, "Leave layers of these names or below them as they are")
        ->delimiter(',')
        ->expected(1, 1000);
    c.add_option("--scope", o->scope, "uniform: every layer alike; global: one ranking for all")
        ->check(CLI::IsMember({"uniform", "global"}))
        ->capture_default_str();
    c.add_flag("--prune-ties", o->prune_ties,
               "Zero all weights that are as important as the last one to go, as the course lab does; else exactly so "
               "many weights are zero");
    add_share(c, "--target-size", o->target_size,
              "Share of the dense bytes that may be left, index included; chooses each layer's sparsity, or the "
              "ratio of channels");
    add_share(c, "--target-macs", o->target_macs, "Share of the multiply-accumulates that may be left; likewise");
    add_share(c, "--target-latency", o->target_latency,
              "Share of the time for one image that may be left, as measured here once; likewise");
    c.add_option("--macs", o->macs,
                 "What method channel counts: pure, or as the course lab (batch norms and the global pool, too)")
        ->check(CLI::IsMember({"pure", "lab"}))
        ->capture_default_str();
    c.add_option("--round-to", o->round_to, "Method channel keeps multiples of so many channels")
        ->check(PositiveNumber)
        ->capture_default_str();
    add_share(c, "--max-ratio", o->max_ratio, "No layer loses a greater share of its channels");
    c.add_option("--scan-images", o->scan_images, "Held out of the training images to choose by")
        ->check(PositiveNumber)
        ->capture_default_str();

    c.add_option("--schedule", o->schedule, "oneshot, iterative (in rounds) or gradual (cubic)")
        ->check(CLI::IsMember({"oneshot", "iterative", "gradual"}))
        ->capture_default_str();
    c.add_option("--rounds", o->when.rounds, "Of iterative; they share the epochs")
        ->check(PositiveNumber)
        ->capture_default_str();
    add_share(c, "--begin", o->when.begin, "Of gradual, as a share of the run");
    add_share(c, "--end", o->when.end, "Of gradual; the masks are fixed from then on");
    c.add_option("--rewind", o->rewind, "Go back to the weights of this earlier file after pruning (lottery ticket)");
    o->add_training_to(c, "pruned.safetensors");
    c.callback([&c, o] { prune(c, *o); });
}

}  // namespace lathe::tools
