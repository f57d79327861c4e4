#include "lathe/tools/nas_search.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "lathe/core/files/file.h"
#include "lathe/core/text_table.h"
#include "lathe/nas/predict/accuracy_predictor.h"
#include "lathe/nas/search/nsga2.h"
#include "lathe/nas/search/random_search.h"
#include "lathe/nas/search/tune.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/common_options.h"
#include "lathe/tools/json_line.h"
#include "lathe/tools/nas_costs.h"
#include "lathe/tools/nas_figures.h"
#include "lathe/tools/plot.h"
#include "lathe/tools/progress.h"
#include "lathe/tools/supernet_options.h"

namespace lathe::tools {

namespace {

using nas::Quantity;
using Json = nlohmann::ordered_json;

std::string csv_quoted(const std::string& text) {
    std::string quoted = "\"";
    for (char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
    return quoted + "\"";
}

struct Search {
    std::string predictor, method = "evolution", latency, times, out;
    std::vector<std::string> limits = std::vector<std::string>(nas::quantities().size()), least{"lab-macs"};
    std::vector<int> image_sizes;
    int64_t subnets = 300, generations = 100;
    nas::EvolutionOptions evolution;
    double crossover = 0.9, tune = 0;
    int64_t evaluate = 0;
    SupernetOptions supernet;
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

// A network that was found, and its accuracy on the images held out if it was measured; then these are in that order.
struct Found {
    nas::Candidate candidate;
    std::optional<double> measured{};
};

// Measures them within the supernet and puts the best first.
void measure(std::vector<Found>& found, const SupernetOptions::Opened& opened, int workers, bool silent) {
    Progress progress("measure", static_cast<int64_t>(found.size()), !silent);
    for (size_t i = 0; i < found.size(); ++i) {
        const auto model = opened.subnet(found[i].candidate.arch);
        found[i].measured = evaluate_subnet(*model, opened.data.validation, workers)["accuracy"] / 100;
        progress.update(static_cast<int64_t>(i) + 1, percent(*found[i].measured));
    }
    progress.clear();
    std::stable_sort(found.begin(), found.end(),
                     [](const Found& a, const Found& b) { return a.measured > b.measured; });
}

void print_found(const std::vector<Found>& found) {
    const bool measured = found.front().measured.has_value();
    std::vector<std::string> header{"predicted accuracy"};
    if (measured) header.push_back("measured");
    for (const std::string& name : cost_names(found.front().candidate.cost)) header.push_back(name);
    TextTable table(header);
    for (const auto& [candidate, accuracy] : found) {
        std::vector<std::string> row{percent(candidate.score)};
        if (measured) row.push_back(percent(*accuracy));
        for (const std::string& text : cost_texts(candidate.cost)) row.push_back(text);
        table.add(row);
    }
    std::printf("%s", table.str().c_str());
}

Json json_of(const Found& found) {
    Json out = tools::json_of(found.candidate.arch, found.candidate.cost);
    out["predicted_accuracy"] = found.candidate.score;
    if (found.measured) out["measured_accuracy"] = *found.measured;
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
    check(o.evaluate == 0 || (!o.supernet.file.empty() && !o.supernet.data.data.empty()),
          "--evaluate: expected --supernet and --data, too");
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
    std::optional<SupernetOptions::Opened> opened;
    if (o.evaluate > 0) {
        o.supernet.space = space.name;
        opened = o.supernet.open();
    }
    check(o.tune == 0 || o.method == "evolution", "--tune: of evolution, not of ", o.method);
    if (!o.out.empty()) make_folder(o.out);
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
    else front.assign(result.finalists.begin(), result.finalists.begin() + std::clamp<int64_t>(o.evaluate, 1,
                      static_cast<int64_t>(result.finalists.size())));
    std::vector<Found> found;
    for (const nas::Candidate& candidate : front) found.push_back({candidate});
    if (opened) measure(found, *opened, o.supernet.data.workers, o.json);
    const std::string best = found.front().candidate.arch.str();

    if (o.json) {
        Json out{{"space", space.name}, {"method", o.method}, {"scored", result.scored}, {"seconds", seconds}};
        for (const Found& one : found) out["found"].push_back(json_of(one));
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
        print_found(found);
        if (!pareto) std::printf("%s\n", best.c_str());
    }
    if (o.out.empty()) return;
    TextStream csv;
    csv << "predicted_accuracy," << (o.evaluate > 0 ? "measured_accuracy," : "")
        << joined(cost_names(front.front().cost), ",") << ",arch\n";
    for (const auto& [candidate, measured] : found) {
        csv << candidate.score;
        if (measured) csv << "," << *measured;
        for (Quantity quantity : known(candidate.cost)) csv << "," << nas::value_of(candidate.cost, quantity);
        csv << "," << csv_quoted(candidate.arch.str()) << "\n";
    }
    write_file_atomically(o.out + "/found.csv", csv.str());
    if (!pareto) {
        write_file_atomically(o.out + "/found.json", best + "\n");
        write_file_atomically(o.out + "/found.svg", drawing_of(space, found.front().candidate.arch));
    }
    const bool drawn = plot_svg(o.out + (pareto ? "/front" : "/search"),
                                pareto ? front_curve(front, least[0]) : search_curves({{o.method, result.steps}}));
    if (!o.json)
        say_files(o.out, pareto ? "found.csv" : "found.csv, found.json, found.svg", pareto ? "front" : "search", drawn);
}

}  // namespace

void add_nas_search(CLI::App& app) {
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
        ->expected(1, static_cast<int>(nas::quantities().size()) + 1)
        ->capture_default_str();
    c.add_option("--generations", o->generations, "Of pareto")->check(CLI::Range(0, 10000000))->capture_default_str();
    add_share(c, "--crossover", o->crossover, "Of pareto: probability that a child has two parents");
    c.add_option("--seed", o->evolution.seed, "The same finds the same")->capture_default_str();
    c.add_option("--evaluate", o->evaluate,
                 "Measure the N best that were found, of pareto all, within --supernet on the images that its training "
                 "held out of --data, and rank them by that")
        ->check(CLI::Range(0, 100))
        ->capture_default_str();
    o->supernet.add_to(c, false);
    c.add_option("--out", o->out, "Folder for found.csv and figures");
    c.add_flag("--json", o->json, "Print one JSON object");
    c.callback([o] { search(*o); });
}

}  // namespace lathe::tools
