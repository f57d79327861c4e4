#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <optional>
#include <nlohmann/json.hpp>

#include "lathe/core/files/file.h"
#include "lathe/core/parallel.h"
#include "lathe/core/print.h"
#include "lathe/core/text_table.h"
#include "lathe/nas/predict/accuracy_predictor.h"
#include "lathe/nas/search/evolution.h"
#include "lathe/nas/search/nsga2.h"
#include "lathe/nas/search/random_search.h"
#include "lathe/nas/search/tune.h"
#include "lathe/nas/space/layers.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/common_options.h"
#include "lathe/tools/json_line.h"
#include "lathe/tools/nas_figures.h"
#include "lathe/tools/nas_measure.h"
#include "lathe/tools/nas_supernet.h"
#include "lathe/tools/plot.h"
#include "lathe/tools/progress.h"

namespace lathe::tools {

namespace {

using nas::Quantity;
using Json = nlohmann::ordered_json;

// What a command left in its folder, with figures where gnuplot is; the others as gnuplot's commands.
void say_files(const std::string& folder, const std::string& files, const std::string& figure, bool drawn) {
    std::printf("in %s: %s, %s%s\n", folder.c_str(), files.c_str(), figure.c_str(),
                drawn ? ".svg" : ".gnuplot; install gnuplot for its picture");
}

// What is known of a cost: latency (of more than 0) only with a table.
std::vector<Quantity> known(const nas::Efficiency& cost) {
    std::vector<Quantity> all = nas::quantities();
    if (cost.latency) all.push_back(Quantity::latency);
    return all;
}

std::vector<std::string> cost_names(const nas::Efficiency& cost) {
    std::vector<std::string> names;
    for (Quantity quantity : known(cost)) names.push_back(nas::name_of(quantity));
    return names;
}

std::vector<std::string> cost_texts(const nas::Efficiency& cost) {
    std::vector<std::string> texts;
    for (Quantity quantity : known(cost)) texts.push_back(nas::text_of(quantity, nas::value_of(cost, quantity)));
    return texts;
}

Json json_of(const nas::Arch& arch, const nas::Efficiency& cost) {
    Json out{{"arch", Json::parse(arch.str())}};
    for (Quantity quantity : known(cost)) out[nas::name_of(quantity)] = nas::value_of(cost, quantity);
    return out;
}

std::string csv_quoted(const std::string& text) {
    std::string quoted = "\"";
    for (char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
    return quoted + "\"";
}

// ---- show ----

struct Show {
    std::string space = nas::mcunetv2().name, arch, predictor, times, out;
    bool json = false;
};

// The table, which must be of the space.
nas::LatencyTable open_times(const std::string& path, const nas::Space& space) {
    nas::LatencyTable table = nas::LatencyTable::load(path);
    check(table.space().name == space.name, path, ": expected times of ", space.name, ", got those of ",
          table.space().name);
    return table;
}

void show(const Show& o) {
    const nas::Space& space = nas::space_named(o.space);
    const nas::Arch arch = space.parse(o.arch);
    nas::Efficiency cost = nas::efficiency(space, arch);
    if (!o.times.empty())
        cost.latency = std::llround(open_times(o.times, space).seconds(arch) * 1e9);
    std::vector<double> accuracy;
    if (!o.predictor.empty()) accuracy = nas::AccuracyPredictor::load(o.predictor)({{arch}});
    if (!o.out.empty()) write_file_atomically(o.out, drawing_of(space, arch));
    if (o.json) {
        Json out = json_of(arch, cost);
        if (!accuracy.empty()) out["predicted_accuracy"] = accuracy[0];
        std::printf("%s", json_line(out).c_str());
        return;
    }
    std::printf("%s\none of the %s networks of %s, for images of %dx%d\n", arch.str().c_str(), space.count().c_str(),
                space.name.c_str(), arch.image_size, arch.image_size);
    TextTable table({"block", "stage", "kernel", "expansion", "channels", "stride", "shortcut", "squeeze"});
    for (const nas::Block& block : nas::layers_of(space, arch).blocks)
        table.add({std::to_string(block.index), std::to_string(block.stage + 1), std::to_string(block.kernel),
                   std::to_string(block.expansion),
                   format("%d-%d-%d", static_cast<int>(block.in), static_cast<int>(block.expanded),
                          static_cast<int>(block.out)),
                   std::to_string(block.stride), block.residual() ? "yes" : "",
                   block.squeezed ? std::to_string(block.squeezed) : ""});
    std::printf("%s", table.str().c_str());
    TextTable costs(cost_names(cost));
    costs.add(cost_texts(cost));
    std::printf("\n%s", costs.str().c_str());
    if (!accuracy.empty()) std::printf("predicted accuracy %s\n", percent(accuracy[0]).c_str());
    if (!o.out.empty()) std::printf("drawing: %s\n", o.out.c_str());
}

void add_show(CLI::App& app) {
    auto o = std::make_shared<Show>();
    CLI::App& c = *app.add_subcommand("show", "Show a network of a design space: its blocks, and what it costs");
    c.add_option("--space", o->space, "The design space")->capture_default_str();
    c.add_option("--arch", o->arch,
                 "Which network: {\"wid\":0,\"ks\":[20 kernels],\"e\":[20 expansions],\"d\":[6 depths],"
                 "\"image_size\":96}, or smallest, or largest")
        ->required();
    c.add_option("--predictor", o->predictor, "Also says what this one, of `lathe nas predictor`, expects of it");
    c.add_option("--latency-table", o->times, "Also says how long it takes by this one, of `lathe nas measure`");
    c.add_option("--out", o->out, "Draws it into this .svg file");
    c.add_flag("--json", o->json, "Print one JSON object");
    c.callback([o] { show(*o); });
}

// ---- predictor ----

struct Predictor {
    std::string space = nas::mcunetv2().name, schedule = "constant", out;
    std::vector<std::string> tables;
    nas::PredictorTraining training;
    bool json = false;
};

void train_predictor(Predictor& o) {
    const nas::Space& space = nas::space_named(o.space);
    o.training.schedule = optim::parse_schedule(o.schedule);
    nas::AccuracyTable table;
    for (const std::string& path : o.tables)
        for (nas::Measured& row : nas::read_accuracy_table(space, path)) table.push_back(std::move(row));

    make_folder(o.out);
    Progress progress("predictor", o.training.epochs * 1000, !o.json);
    o.training.on_batch = [&](const optim::BatchReport& r) {
        progress.update((r.epoch - 1) * 1000 + 1000 * r.batch / std::max<int64_t>(1, r.batches), r.train.str());
    };
    const auto [predictor, report] = nas::train_predictor(space, table, o.training);
    progress.clear();
    if (o.json) {
        std::printf("%s", json_line({{"trained_on", report.trained_on},
                                     {"measured_on", report.measured.size()},
                                     {"mae", report.mae.back()},
                                     {"mae_of_mean", report.mean_mae},
                                     {"mae_by_epoch", report.mae},
                                     {"rmse", report.rmse},
                                     {"kendall", report.kendall},
                                     {"spearman", report.spearman},
                                     {"seconds", report.seconds}})
                              .c_str());
    } else {
        for (size_t i = 0; i < report.mae.size(); ++i)
            std::printf("epoch %zu: mean absolute error %.5f\n", i + 1, report.mae[i]);
        print(report);
    }
    predictor.save(o.out + "/predictor.safetensors");
    TextStream csv;
    csv << "measured,predicted\n";
    for (size_t i = 0; i < report.measured.size(); ++i)
        csv << report.measured[i] << "," << report.predicted[i] << "\n";
    write_file_atomically(o.out + "/predictor.csv", csv.str());
    const bool drawn = plot_svg(o.out + "/predictor", predictor_scatter(report), 720, 640);
    if (!o.json) say_files(o.out, "predictor.safetensors, predictor.csv", "predictor", drawn);
}

void add_predictor(CLI::App& app) {
    auto o = std::make_shared<Predictor>();
    CLI::App& c = *app.add_subcommand("predictor", "Learn to tell a subnet's accuracy from a table of measured ones");
    c.add_option("--space", o->space, "The design space")->capture_default_str();
    c.add_option("--table", o->tables,
                 "One or more tables: CSV with the columns resolution, wid, ks, e, d, acc, or the course's JSON files; "
                 "gzip or plain")
        ->required()
        ->expected(1, 1000);
    add_share(c, "--hold-out", o->training.hold_out, "Share of the rows that it is measured on, drawn at random");
    c.add_option("--epochs", o->training.epochs, "Times through the other rows")
        ->check(PositiveNumber)
        ->capture_default_str();
    c.add_option("--batch", o->training.batch, "Rows per step")->check(PositiveNumber)->capture_default_str();
    c.add_option("--lr", o->training.lr, "Learning rate of Adam")->check(PositiveNumber)->capture_default_str();
    c.add_option("--lr-schedule", o->schedule, "Over the run: constant, cosine, one-cycle, …")->capture_default_str();
    c.add_option("--hidden", o->training.network.hidden, "Features of a hidden layer")
        ->check(CLI::Range(1, 100000))
        ->capture_default_str();
    c.add_option("--layers", o->training.network.layers, "Hidden layers; 0: a linear model")
        ->check(CLI::Range(0, 1000))
        ->capture_default_str();
    c.add_option("--seed", o->training.seed, "Of the split, the first weights and the order")->capture_default_str();
    add_threads(c);
    c.add_option("--out", o->out, "Folder for predictor.safetensors, predictor.csv and predictor.svg")->required();
    c.add_flag("--json", o->json, "Print one JSON object");
    c.callback([o] { train_predictor(*o); });
}

// ---- search ----

struct Search {
    std::string predictor, method = "evolution", latency, times, out;
    std::vector<std::string> limits = std::vector<std::string>(nas::quantities().size()), least{"lab-macs"};
    std::vector<int> image_sizes;
    int64_t subnets = 300, generations = 100;
    nas::EvolutionOptions evolution;
    double crossover = 0.9, tune = 0;
    bool unseen = false, json = false;
};

// "60M" or "300000" of what is counted, "250KB" or "1MB" (of 1024 bytes) of memory.
int64_t amount(const std::string& option, const std::string& text, bool bytes) {
    using Units = std::vector<std::pair<std::string, double>>;
    double unit = 1;
    size_t end = text.size();
    for (const auto& [suffix, factor] :
         bytes ? Units{{"KB", 1024}, {"MB", 1024 * 1024}} : Units{{"K", 1e3}, {"M", 1e6}})
        if (text.ends_with(suffix)) unit = factor, end -= suffix.size();
    double value = 0;
    const bool number = CLI::detail::lexical_cast(text.substr(0, end), value);
    check(number && value > 0 && value * unit < 1e15, "--", option, ": expected an amount like ",
          bytes ? "250KB" : "60M", ", got ", text);
    return static_cast<int64_t>(value * unit);
}

nas::Limits limits_of(const Search& o) {
    nas::Limits limits;
    for (size_t i = 0; i < o.limits.size(); ++i) {
        const Quantity quantity = nas::quantities()[i];
        const bool bytes = quantity == Quantity::peak_memory || quantity == Quantity::arena ||
                           quantity == Quantity::flash;
        if (!o.limits[i].empty()) limits.push_back({quantity, amount(nas::name_of(quantity), o.limits[i], bytes)});
    }
    return limits;
}

// "2ms", "250us" or "0.1s" as nanoseconds.
int64_t nanoseconds(const std::string& text) {
    for (const auto& [suffix, unit] : {std::pair("ms", 1e6), std::pair("us", 1e3), std::pair("s", 1e9)}) {
        double value = 0;
        if (!text.ends_with(suffix)) continue;
        const bool number = CLI::detail::lexical_cast(text.substr(0, text.size() - std::strlen(suffix)), value);
        check(number && value > 0 && value * unit < 1e15, "--latency: expected a time like 2ms, got ", text);
        return static_cast<int64_t>(value * unit);
    }
    fail("--latency: expected a time in ms, us or s, like 2ms, got ", text);
}

// The space to search: what the predictor has seen of it, and of that what the command line allows.
nas::Space space_of(const Search& o, const nas::AccuracyPredictor& predictor) {
    nas::Space space = o.unseen ? predictor.space() : predictor.seen();
    std::vector<int>& sizes = space.choices.image_size;
    for (int size : o.image_sizes)
        check(std::find(sizes.begin(), sizes.end(), size) != sizes.end(), "--image-size: ", size,
              " is none of the sizes that ", o.unseen ? "the space has" : "the predictor has seen");
    if (!o.image_sizes.empty())
        std::erase_if(sizes, [&](int size) {
            return std::find(o.image_sizes.begin(), o.image_sizes.end(), size) == o.image_sizes.end();
        });
    return space;
}

void print_candidates(const std::vector<nas::Candidate>& candidates) {
    std::vector<std::string> header{"predicted accuracy"};
    for (const std::string& name : cost_names(candidates.front().cost)) header.push_back(name);
    TextTable table(header);
    for (const nas::Candidate& candidate : candidates) {
        std::vector<std::string> row{percent(candidate.score)};
        for (const std::string& text : cost_texts(candidate.cost)) row.push_back(text);
        table.add(row);
    }
    std::printf("%s", table.str().c_str());
}

Json json_of(const nas::Candidate& candidate) {
    Json out = json_of(candidate.arch, candidate.cost);
    out["predicted_accuracy"] = candidate.score;
    return out;
}

// What was tried, the best ten first.
void print_tried(const std::vector<nas::TriedEvolution>& tried, int seeds, double as_given) {
    std::printf("%zu settings of the evolution tried, each with %d seeds; those given found %.4f%% in the mean\n",
                tried.size(), seeds, 100 * as_given);
    TextTable table({"mean of the best", "least", "population", "iterations", "parents", "mutants", "mutate",
                     "mutate-size"});
    for (size_t i = 0; i < std::min<size_t>(10, tried.size()); ++i) {
        const nas::EvolutionOptions& o = tried[i].options;
        table.add({format("%.4f%%", 100 * tried[i].mean), format("%.4f%%", 100 * tried[i].least),
                   std::to_string(o.population), std::to_string(o.iterations), format("%.3f", o.parents),
                   format("%.3f", o.mutants), format("%.3f", o.mutation.arch), format("%.3f", o.mutation.image_size)});
    }
    std::printf("%s\n", table.str().c_str());
}

void search(const Search& given) {
    Search o = given;
    nas::Limits limits = limits_of(o);
    std::vector<Quantity> least;
    for (const std::string& name : o.least) least.push_back(nas::quantity_of(name));
    const nas::AccuracyPredictor predictor = nas::AccuracyPredictor::load(o.predictor);
    const nas::Space space = space_of(o, predictor);
    const nas::Score score = [&](std::span<const nas::Arch> archs) { return predictor(archs); };
    std::optional<nas::LatencyTable> times;
    const bool least_time = o.method == "pareto" && std::count(least.begin(), least.end(), Quantity::latency) > 0;
    check(!o.times.empty() || (o.latency.empty() && !least_time),
          "latency: expected --latency-table, of `lathe nas measure`");
    if (!o.times.empty()) {
        times = open_times(o.times, space);
        limits.push_back({Quantity::latency, o.latency.empty() ? INT64_MAX : nanoseconds(o.latency), &*times});
    }
    nas::check_reachable(space, limits);
    if (!o.out.empty()) make_folder(o.out);

    check(o.tune == 0 || o.method == "evolution", "--tune: of evolution, not of ", o.method);
    std::vector<nas::TriedEvolution> tried;
    if (o.tune > 0) {
        const nas::TuneOptions tuning{.seconds = o.tune, .seed = o.evolution.seed};
        Progress progress("tune", static_cast<int64_t>(1000 * o.tune), !o.json);
        const auto start = std::chrono::steady_clock::now();
        double as_given = 0;  // which are tried first
        tried = nas::tune_evolution(space, score, limits, o.evolution, tuning, [&](const nas::TriedEvolution& t) {
            if (as_given == 0) as_given = t.mean;
            const auto passed = std::chrono::steady_clock::now() - start;
            progress.update(std::min<int64_t>(static_cast<int64_t>(1000 * o.tune),
                                              std::chrono::duration_cast<std::chrono::milliseconds>(passed).count()));
        });
        progress.clear();
        o.evolution = tried.front().options;
        if (!o.json) print_tried(tried, tuning.seeds, as_given);
    }
    const auto begin = std::chrono::steady_clock::now();
    nas::SearchResult result;
    std::vector<nas::Candidate> front;
    if (o.method == "random")
        result = nas::search_at_random(space, score, limits, {.subnets = o.subnets, .seed = o.evolution.seed});
    else if (o.method == "evolution") result = nas::evolve(space, score, limits, o.evolution);
    else
        front = nas::pareto_front(space, score, limits,
                                  {.least = least, .population = o.evolution.population, .generations = o.generations,
                                   .crossover = o.crossover, .mutation = o.evolution.mutation,
                                   .seed = o.evolution.seed});
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const bool pareto = o.method == "pareto";
    if (pareto) result.scored = o.evolution.population * (o.generations + 1);
    else front = {result.best};

    if (o.json) {
        Json out{{"space", space.name}, {"method", o.method}, {"scored", result.scored}, {"seconds", seconds}};
        for (const nas::Candidate& candidate : front) out["found"].push_back(json_of(candidate));
        for (const nas::TriedEvolution& t : tried)
            out["tried"].push_back({{"mean", t.mean},
                                    {"least", t.least},
                                    {"population", t.options.population},
                                    {"iterations", t.options.iterations},
                                    {"parents", t.options.parents},
                                    {"mutants", t.options.mutants},
                                    {"mutate", t.options.mutation.arch},
                                    {"mutate_size", t.options.mutation.image_size}});
        std::printf("%s", json_line(out).c_str());
    } else {
        std::printf("%s, %s networks%s\n%s: %s subnets scored in %s\n", space.name.c_str(), space.count().c_str(),
                    o.unseen ? "" : " of which the predictor has seen all choices", o.method.c_str(),
                    with_commas(result.scored).c_str(), human_time(seconds).c_str());
        print_candidates(front);
        if (!pareto) std::printf("%s\n", result.best.arch.str().c_str());
    }
    if (o.out.empty()) return;
    TextStream csv;
    csv << "predicted_accuracy," << joined(cost_names(front.front().cost), ",") << ",arch\n";
    for (const nas::Candidate& candidate : front) {
        csv << candidate.score;
        for (Quantity quantity : known(candidate.cost)) csv << "," << nas::value_of(candidate.cost, quantity);
        csv << "," << csv_quoted(candidate.arch.str()) << "\n";
    }
    write_file_atomically(o.out + "/found.csv", csv.str());
    if (!pareto) {
        write_file_atomically(o.out + "/found.json", result.best.arch.str() + "\n");
        write_file_atomically(o.out + "/found.svg", drawing_of(space, result.best.arch));
    }
    const bool drawn = plot_svg(o.out + (pareto ? "/front" : "/search"),
                                pareto ? front_curve(front, least[0]) : search_curves({{o.method, result.steps}}));
    if (!o.json)
        say_files(o.out, pareto ? "found.csv" : "found.csv, found.json, found.svg", pareto ? "front" : "search", drawn);
}

void add_search(CLI::App& app) {
    auto o = std::make_shared<Search>();
    CLI::App& c = *app.add_subcommand("search", "Find the best networks of a design space within limits");
    c.add_option("--predictor", o->predictor, "predictor.safetensors of `lathe nas predictor`")->required();
    c.add_option("--method", o->method,
                 "random: the best of --subnets; evolution; pareto: NSGA-II, a whole front of accuracy and --least")
        ->check(CLI::IsMember({"random", "evolution", "pareto"}))
        ->capture_default_str();
    constexpr const char* kHelp[] = {"At most so many multiply-accumulates: 50M",
                                     "As the course lab counts them (four more for each element behind a batch norm)",
                                     "At most so much for int8 activations, as the lab counts it: 250KB (of 1024)",
                                     "At most so much for int8 activations, as our integer programs plan them: 250KB",
                                     "At most so many parameters: 500K", "At most so much for int8 weights: 500KB"};
    for (size_t i = 0; i < o->limits.size(); ++i)
        c.add_option(std::string("--") + nas::name_of(nas::quantities()[i]), o->limits[i], kHelp[i]);
    c.add_option("--latency", o->latency, "At most so long by --latency-table: 2ms, 250us");
    c.add_option("--latency-table", o->times, "Times of `lathe nas measure`");
    c.add_option("--image-size", o->image_sizes, "Only images of these sizes: 96,128; none: of all")
        ->delimiter(',')
        ->expected(1, 100);
    c.add_flag("--unseen", o->unseen,
               "Also choices that the predictor's table never had, as the lab does: what it says of them means "
               "nothing");
    c.add_option("--subnets", o->subnets, "Of random")->check(CLI::Range(1, 100000000))->capture_default_str();
    c.add_option("--population", o->evolution.population, "Of evolution and pareto")
        ->check(CLI::Range(1, 100000))
        ->capture_default_str();
    c.add_option("--iterations", o->evolution.iterations, "Of evolution")
        ->check(CLI::Range(0, 10000000))
        ->capture_default_str();
    add_share(c, "--parents", o->evolution.parents, "Share of the population that goes on");
    add_share(c, "--mutants", o->evolution.mutants, "Share of children that have one parent");
    add_share(c, "--mutate", o->evolution.mutation.arch, "Probability that a mutation changes a block, depth or width");
    add_share(c, "--mutate-size", o->evolution.mutation.image_size, "Probability that it changes the image size");
    c.add_option("--tune", o->tune,
                 "Of evolution: first try settings for so many seconds, at the same number of subnets, and take the "
                 "best")
        ->check(NonNegativeNumber)
        ->capture_default_str();
    c.add_option("--least", o->least, "Of pareto: what is to be small beside a great accuracy: lab-macs,peak-memory")
        ->delimiter(',')
        ->expected(1, 5)
        ->capture_default_str();
    c.add_option("--generations", o->generations, "Of pareto")->check(CLI::Range(0, 10000000))->capture_default_str();
    add_share(c, "--crossover", o->crossover, "Of pareto: probability that a child has two parents");
    c.add_option("--seed", o->evolution.seed, "The same finds the same")->capture_default_str();
    add_threads(c);
    c.add_option("--out", o->out, "Folder for found.csv and figures");
    c.add_flag("--json", o->json, "Print one JSON object");
    c.callback([o] { search(*o); });
}

}  // namespace

void add_nas(CLI::App& app) {
    CLI::App& c = *app.add_subcommand("nas", "Search a design space for the best network within limits");
    c.require_subcommand(1);
    add_nas_train(c);
    add_nas_sample(c);
    add_predictor(c);
    add_nas_measure(c);
    add_search(c);
    add_nas_extract(c);
    add_show(c);
}

}  // namespace lathe::tools
