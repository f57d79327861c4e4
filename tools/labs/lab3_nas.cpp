// The course's third lab, neural architecture search, as a walk through the library: build/lab3_nas --table FILE
//
// It needs the course's table of 50,000 subnets and their accuracies. The supernet that they were cut from is not
// published, so the last part (small_space.h) trains a small one of its own. Each step is one function below that
// prints its table and writes its figure; main() at the end reads as the table of contents. Where the reference
// notebook (MIT 6.5940, lab 3) does something that a reader should know before comparing, the step says so, and its
// published figures stand beside those found here.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>

#include "lathe/core/files/file.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/labs/small_space.h"
#include "lathe/tools/labs/walk.h"
#include "lathe/tools/lathe.h"
#include "lathe/tools/nas_figures.h"
#include "lathe/tools/progress.h"

using namespace lathe;
using namespace lathe::nas;
using tools::draw, tools::heading, tools::trap;

namespace {

struct Options {
    std::string table, out = "build/lab3";
    int64_t epochs = 10, iterations = 500, seeds = 3, generations = 100;
    tools::SmallSpaceOptions own{};
};

struct Row {
    Measured measured;
    Efficiency cost;
};
using Rows = std::vector<Row>;

constexpr int64_t kMillion = 1'000'000, kKiB = 1024;
std::string millions(double count) { return format("%.1f", count / kMillion); }

void draw_subnet(const Options& o, const char* name, const Arch& arch) {
    const std::string path = o.out + "/" + name + ".svg";
    write_file_atomically(path, tools::drawing_of(mcunetv2(), arch));
    std::printf("figure: %s\n", path.c_str());
}

// ---------------------------------------------------------------------------------------------------------------------

void question_1(const Options& o) {
    heading("1. The design space, its smallest and its largest network");
    trap("says MACs, and counts four more for each element behind a batch norm. Its \"largest\" network is of width\n"
         "0.75, for width 1.0 is never drawn when the supernet trains, nor when the table is made",
         "both counts, and the two networks that the notebook prints beside the real largest one.");
    std::printf("%s networks\n", mcunetv2().count().c_str());
    Arch printed = mcunetv2().largest(), largest = printed;
    printed.wid = 1, printed.image_size = largest.image_size = 96;
    TextTable table({"network", "pure MACs", "lab's MACs", "reference", "peak memory", "reference", "parameters"});
    const auto add = [&](const char* name, const Arch& arch, const char* macs, const char* memory) {
        const Efficiency cost = efficiency(mcunetv2(), arch);
        table.add({name, with_commas(cost.macs), with_commas(cost.lab_macs), macs,
                   text_of(Quantity::peak_memory, cost.peak_memory), memory, with_commas(cost.parameters)});
    };
    add("smallest at 96", mcunetv2().smallest(), "8,302,128", "72 KB");
    add("\"largest\" at 96", printed, "79,416,432", "270 KB");
    add("largest at 96", largest, "", "");
    std::printf("%s", table.str().c_str());
    draw_subnet(o, "smallest", mcunetv2().smallest());
}

// What resolution and width alone do, over the whole table.
void question_2(const Rows& rows) {
    heading("2. What the table holds");
    trap("labels are measured with batch norm statistics of images of 128 pixels, whatever the subnet's own size: two\n"
         "arguments of the calibration are exchanged",
         "the same labels; a correct measurement at 96 or 160 pixels differs from them.");
    struct Group {
        int64_t count = 0;
        double sum = 0, macs = 0;
        double least = 1, most = 0;
    };
    std::map<std::pair<int, int>, Group> groups;
    for (const auto& [measured, cost] : rows) {
        Group& group = groups[{measured.arch.image_size, measured.arch.wid}];
        ++group.count;
        group.sum += measured.accuracy, group.macs += static_cast<double>(cost.lab_macs);
        group.least = std::min(group.least, measured.accuracy), group.most = std::max(group.most, measured.accuracy);
    }
    TextTable table({"image", "width", "subnets", "accuracy", "least", "most", "lab's MACs, M"});
    for (const auto& [key, group] : groups) {
        const auto count = static_cast<double>(group.count);
        table.add({std::to_string(key.first), format("%g", mcunetv2().widths[static_cast<size_t>(key.second)]),
                   with_commas(group.count), percent(group.sum / count), percent(group.least), percent(group.most),
                   millions(group.macs / count)});
    }
    std::printf("%s", table.str().c_str());
}

AccuracyPredictor question_4_and_5(const Options& o, const AccuracyTable& table) {
    heading("4, 5. A predictor of accuracy");
    trap("prints the loss of the last mini-batch of the validation part, 16 subnets of 10,000: noise at the second\n"
         "digit (0.0015 to 0.0020 in the copies that are right)",
         "the mean absolute error on the whole part, and how well the order is kept. A linear model for comparison.");
    std::optional<tools::Progress> progress;
    PredictorTraining training{.epochs = o.epochs, .on_batch = [&](const optim::BatchReport& r) {
                                   if (!progress) progress.emplace("predictor", r.epochs * r.batches);
                                   progress->update((r.epoch - 1) * r.batches + r.batch, r.train.str());
                               }};
    auto [predictor, report] = train_predictor(mcunetv2(), table, training);
    progress.reset();
    training.network.layers = 0;
    const PredictorReport linear = train_predictor(mcunetv2(), table, training).report;
    progress.reset();
    TextTable epochs({"epoch", "mean absolute error", "linear model"});
    for (size_t i = 0; i < report.mae.size(); ++i)
        epochs.add({std::to_string(i + 1), format("%.5f", report.mae[i]), format("%.5f", linear.mae[i])});
    std::printf("%s\nlinear model: %s\nthe lab's network: %s", epochs.str().c_str(), linear.str().c_str(),
                report.str().c_str());
    draw(o.out, "predictor", tools::predictor_scatter(report), 700);
    predictor.save(o.out + "/predictor.safetensors");
    return std::move(predictor);
}

// The best of some searches that differ by their seed.
struct Searched {
    std::vector<SearchResult> runs;

    double mean() const {
        double sum = 0;
        for (const SearchResult& run : runs) sum += run.best().score / static_cast<double>(runs.size());
        return sum;
    }
    const SearchResult& best() const {
        return *std::max_element(runs.begin(), runs.end(), [](const SearchResult& a, const SearchResult& b) {
            return a.best().score < b.best().score;
        });
    }
};

template <class F>
Searched with_seeds(int64_t seeds, F&& search) {
    Searched searched;
    for (int64_t seed = 0; seed < seeds; ++seed) searched.runs.push_back(search(static_cast<uint64_t>(seed)));
    return searched;
}

std::string text_of(const Limits& limits) {
    std::vector<std::string> words;
    for (const nas::Limit& limit : limits) words.push_back(nas::text_of(limit.quantity, limit.most));
    return joined(words, " & ");
}

const Row* best_within(const Rows& rows, const Limits& limits) {
    const Row* best = nullptr;
    for (const Row& row : rows)
        if (fits(row.cost, limits) && (!best || row.measured.accuracy > best->measured.accuracy)) best = &row;
    return best;
}

void question_7_to_9(const Options& o, const Rows& rows, const AccuracyPredictor& predictor) {
    heading("7, 8, 9. Search within limits");
    trap("its random search misspells the key of the limit on MACs, which then limits nothing: the 93.28% that it\n"
         "prints \"at 50M\" stand above the best of all rows of the table that do meet 50M. It also draws width 1.0,\n"
         "of which its predictor has never seen a row, so what that says is noise of its first weights",
         "limits hold, unknown keys are errors, and only what the table has is searched. The reference's figures were\n"
         "measured on other images. \"table\" is the best row within the limits as it was measured, beside what is\n"
         "predicted for it: whoever picks the best of many measurements, or predictions, picks lucky ones.");
    const Space space = predictor.seen();
    const Score score = [&](std::span<const Arch> archs) { return predictor(archs); };
    struct Task {
        Limits limits;
        const char* reference;  // of the best copy that is right
    };
    const Task tasks[] = {
        {{{Quantity::lab_macs, 60 * kMillion}, {Quantity::peak_memory, 250 * kKiB}}, "92.93%"},
        {{{Quantity::lab_macs, 30 * kMillion}, {Quantity::peak_memory, 200 * kKiB}}, "90.62%"},
        {{{Quantity::lab_macs, 15 * kMillion}, {Quantity::peak_memory, 256 * kKiB}}, "86.77%"},
        {{{Quantity::lab_macs, 100 * kMillion}}, "93.00%"},
        {{{Quantity::peak_memory, 512 * kKiB}}, "93.67%"},
    };
    TextTable table({"limits", "reference", "table", "predicted", "random", "10x10", "evolution", "best", "lab's MACs",
                     "memory"});
    std::vector<tools::NamedSearch> curves;
    Arch first;
    for (const auto& [limits, reference] : tasks) {
        const Row* row = best_within(rows, limits);
        const Searched random = with_seeds(o.seeds, [&, &limits = limits](uint64_t seed) {
            return search_at_random(space, score, limits, {.seed = seed});
        });
        const Searched notebook = with_seeds(o.seeds, [&, &limits = limits](uint64_t seed) {
            return evolve(space, score, limits,
                          {.population = 10, .iterations = 10, .parents = 0.1, .mutants = 0.1,
                           .mutation = {.arch = 0.1, .image_size = 0.1}, .seed = seed});
        });
        const Searched evolution = with_seeds(o.seeds, [&, &limits = limits](uint64_t seed) {
            return evolve(space, score, limits, {.iterations = o.iterations, .seed = seed});
        });
        const Candidate& best = evolution.best().best();
        table.add({text_of(limits), reference, row ? percent(row->measured.accuracy) : "none",
                   row ? percent(score({&row->measured.arch, 1})[0]) : "", percent(random.mean()),
                   percent(notebook.mean()), percent(evolution.mean()), percent(best.score),
                   nas::text_of(Quantity::lab_macs, best.cost.lab_macs),
                   nas::text_of(Quantity::peak_memory, best.cost.peak_memory)});
        if (!curves.empty()) continue;
        curves = {{"random", random.best().steps}, {"evolution, 10 x 10", notebook.best().steps},
                  {"evolution", evolution.best().steps}};
        first = best.arch;
    }
    std::printf("%s\"random\" (300), \"10x10\" (evolution as the notebook sets it) and \"evolution\" (as its code "
                "does) are means over %d seeds\n",
                table.str().c_str(), static_cast<int>(o.seeds));
    draw(o.out, "search", tools::search_curves(curves));
    draw_subnet(o, "found", first);
}

void question_10(const AccuracyPredictor& predictor) {
    heading("10. What cannot be met");
    trap("retries for ever", "known before the search begins, with the nearest that can be met.");
    for (const Limits& limits : {Limits{{Quantity::lab_macs, 15 * kMillion}, {Quantity::peak_memory, 256 * kKiB}},
                                 Limits{{Quantity::peak_memory, 64 * kKiB}}}) {
        try {
            check_reachable(predictor.seen(), limits);
            std::printf("%s: can be met\n", text_of(limits).c_str());
        } catch (const Error& error) {
            std::printf("%s: %s\n", text_of(limits).c_str(), error.what());
        }
    }
}

// One run instead of a search for each limit.
void whole_front(const Options& o, const AccuracyPredictor& predictor) {
    heading("Beyond the lab: the whole front of accuracy, MACs and memory in one run (NSGA-II)");
    const std::vector<Candidate> front = pareto_front(
        predictor.seen(), [&](std::span<const Arch> archs) { return predictor(archs); }, {},
        {.least = {Quantity::lab_macs, Quantity::peak_memory}, .generations = o.generations});
    std::printf("%zu networks, from %s at %s to %s at %s\n", front.size(), percent(front.front().score).c_str(),
                nas::text_of(Quantity::lab_macs, front.front().cost.lab_macs).c_str(),
                percent(front.back().score).c_str(),
                nas::text_of(Quantity::lab_macs, front.back().cost.lab_macs).c_str());
    draw(o.out, "front", tools::front_curve(front, Quantity::lab_macs));
}

std::string usual_table() {
    const char* root = std::getenv("LATHE_DATA");
    return std::string(root ? root : ".") + "/ofa_mcunet_acc/ofa_mcunet_acc.csv.gz";
}

void walk(const Options& o) {
    const AccuracyTable table = read_accuracy_table(mcunetv2(), o.table);
    make_folder(o.out);
    std::printf("%s: %s subnets\n", o.table.c_str(), with_commas(static_cast<int64_t>(table.size())).c_str());
    Rows rows;
    for (const Measured& measured : table) rows.push_back({measured, efficiency(mcunetv2(), measured.arch)});

    question_1(o);
    question_2(rows);
    const AccuracyPredictor predictor = question_4_and_5(o, table);
    question_7_to_9(o, rows, predictor);
    question_10(predictor);
    whole_front(o, predictor);
    tools::walk_small_space(o.own, o.out);
}

}  // namespace

int main(int argc, char** argv) {
    Options o{.table = usual_table()};
    CLI::App app("The course's lab on neural architecture search: every table on standard output, every figure as SVG",
                 "lab3_nas");
    app.add_option("--table", o.table, "The course's accuracies, CSV or JSON, gzip or plain")->capture_default_str();
    app.add_option("--epochs", o.epochs, "Of the predictor")->check(tools::PositiveNumber)->capture_default_str();
    app.add_option("--iterations", o.iterations, "Of evolution")
        ->check(tools::PositiveNumber)
        ->capture_default_str();
    app.add_option("--generations", o.generations, "Of the front")
        ->check(tools::PositiveNumber)
        ->capture_default_str();
    app.add_option("--seeds", o.seeds, "Searches of each kind for each limit")
        ->check(tools::PositiveNumber)
        ->capture_default_str();
    app.add_option("--out", o.out, "Folder for figures and what is trained")->capture_default_str();
    o.own.add_to(app);
    return tools::run(app, argc, argv, [&] { walk(o); });
}
