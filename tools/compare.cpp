#include <chrono>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "lathe/compress/budget/size.h"
#include "lathe/core/parallel.h"
#include "lathe/core/graph/cost.h"
#include "lathe/core/measure/median.h"
#include "lathe/core/text_table.h"
#include "lathe/optim/evaluate.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/common_options.h"
#include "lathe/tools/data_options.h"
#include "lathe/tools/json_line.h"
#include "lathe/tools/plot.h"
#include "lathe/tools/saved.h"
#include "lathe/tools/task.h"

namespace lathe::tools {

namespace {

struct CompareOptions {
    std::vector<std::string> models;
    DataOptions data;
    int runs = 15;
    std::string figure;
    bool json = false;
};

struct Row {
    std::string file;
    Saved saved;
    std::optional<optim::Result> test;  // with --data
    std::vector<int64_t> classes;       // of a classifier's images
    std::optional<double> same;         // share of them that are the first model's, in percent
    compress::SizeReport::Entry size;
    compress::SizeReport::Bits bits;
    int64_t file_bytes = 0, macs = 0, effective_macs = 0, peak_bytes = 0;
    std::vector<double> seconds_1, seconds_32;  // of every run
};

double seconds_of(const Runner& run, const Tensor& x) {
    const auto begin = std::chrono::steady_clock::now();
    run(x);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Row make_row(const std::string& file) {
    Row row;
    row.file = file;
    row.saved = open_saved(file);
    row.file_bytes = static_cast<int64_t>(std::filesystem::file_size(file));
    const Tensor x = row.saved.model->example();
    const auto& [model, program] = row.saved;
    const compress::SizeReport size = program ? compress::measure_size(*program) : compress::measure_size(*model);
    const Graph graph = program ? program->net().graph : nn::trace(*model, x);
    row.size = size.total();
    row.bits = size.weight_bits();
    row.macs = macs(graph);
    row.effective_macs = compress::effective_macs(graph, size);
    row.peak_bytes = Runner(row.saved, x).peak_bytes(x);
    return row;
}

// Times the models as they run best: networks by nn::Inference, with sparse kernels where these are faster. They take
// turns, so that what disturbs the machine disturbs all of them.
void time_rows(std::vector<Row>& rows, int runs) {
    for (int64_t batch : {1, 32}) {
        std::vector<Runner> ready;
        std::vector<Tensor> inputs;
        ready.reserve(rows.size());
        for (Row& row : rows) {
            inputs.push_back(row.saved.model->example(batch));
            ready.emplace_back(row.saved, inputs.back());
        }
        for (int run = -2; run < runs; ++run)  // the first two warm up
            for (size_t i = 0; i < rows.size(); ++i) {
                const double seconds = seconds_of(ready[i], inputs[i]);
                if (run >= 0) (batch == 1 ? rows[i].seconds_1 : rows[i].seconds_32).push_back(seconds);
            }
    }
}

bool is_accuracy(const optim::Result& result) {
    return result.metrics.size() == 1 && result.metrics[0].name == "accuracy";
}

void measure(Row& row, const CompareOptions& o) {
    nn::Model& model = *row.saved.model;
    const data::Dataset test = o.data.open(data::Split::test, model);
    const optim::Task task = task_of(model, test);
    optim::EvaluateOptions options{.task = task, .workers = o.data.workers};
    if (task.name == "classification")
        options.on_output = [&](const Tensor& y) {
            for (const int64_t found : optim::predictions(y)) row.classes.push_back(found);
        };
    row.test = optim::evaluate(model, test, options);
}

// In percent; none where one of them is no classifier.
std::optional<double> same_share(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
    if (a.size() != b.size() || a.empty()) return {};
    size_t same = 0;
    for (size_t i = 0; i < a.size(); ++i) same += a[i] == b[i];
    return 100 * static_cast<double>(same) / static_cast<double>(a.size());
}

// "97.20%" of a classifier; the loss and what else there is of another network.
std::string told(const optim::Result& result) {
    return is_accuracy(result) ? format("%.2f%%", result["accuracy"]) : result.str();
}

// How many times smaller than the first model's file.
double ratio(const std::vector<Row>& rows, const Row& row) {
    return static_cast<double>(rows[0].file_bytes) / static_cast<double>(row.file_bytes);
}

// Accuracy over that, each point with its place in the table.
std::string ratio_curve(const std::vector<Row>& rows) {
    std::string points = "$models << end\n";
    for (const Row& row : rows) {
        check(is_accuracy(*row.test), row.file, ": expected a classifier for --figure");
        points += format("%g %g %d\n", ratio(rows, row), (*row.test)["accuracy"], int(&row - rows.data()) + 1);
    }
    return points + format("end\nset xlabel 'times smaller than the first'\nset ylabel 'accuracy, %%'\nset grid\n"
                           "set logscale x 2\nset offsets graph 0.05, graph 0.05, graph 0.1, graph 0.1\n"
                           "plot %g with lines dashtype 2 linecolor 'black' notitle, $models using 1:2 with points "
                           "pointtype 7 notitle, $models using 1:2:3 with labels offset 0,0.8 notitle\n",
                           (*rows[0].test)["accuracy"]);
}

void compare(CompareOptions& o) {
    std::vector<Row> rows;
    for (const std::string& file : o.models) rows.push_back(make_row(file));
    if (!o.data.data.empty())
        for (Row& row : rows) {
            const PathScope scope(row.file);
            measure(row, o);
            row.same = same_share(rows[0].classes, row.classes);
        }
    if (!o.figure.empty()) plot_svg(o.figure, ratio_curve(rows));
    time_rows(rows, o.runs);

    TextTable table({"model", "accuracy", "same class", "parameters", "not zero", "bits", "file", "smaller", "MACs",
                     "effective", "peak activation", "batch 1", "batch 32"});
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const Row& row : rows) {
        const double one = median(row.seconds_1), many = median(row.seconds_32);
        table.add({row.file, row.test ? told(*row.test) : "", row.same ? format("%.2f%%", *row.same) : "",
                   with_commas(row.size.elements), with_commas(row.size.nonzeros), row.bits.str(),
                   human_bytes(row.file_bytes), format("%.1fx", ratio(rows, row)), with_commas(row.macs),
                   with_commas(row.effective_macs), human_bytes(row.peak_bytes), format("%.2f ms", 1e3 * one),
                   format("%.2f ms", 1e3 * many)});
        list.push_back({{"model", row.file},
                        {"accuracy", nullptr},
                        {"params", row.size.elements},
                        {"nonzeros", row.size.nonzeros},
                        {"weight_bits", row.bits.mean},
                        {"file_bytes", row.file_bytes},
                        {"macs", row.macs},
                        {"effective_macs", row.effective_macs},
                        {"peak_activation_bytes", row.peak_bytes},
                        {"seconds_batch_1", one},
                        {"seconds_batch_32", many}});
        if (!row.test) continue;
        list.back()["loss"] = row.test->loss;
        for (const optim::Metric& metric : row.test->metrics) list.back()[metric.name] = metric.value;
        if (row.same) list.back()["same_class"] = *row.same;
    }
    if (o.json) std::printf("%s", json_line(list).c_str());
    else
        std::printf("%s%d thread%s; times are medians of %d runs, the models in turns\n", table.str().c_str(),
                    threads(), threads() == 1 ? "" : "s", o.runs);
}

}  // namespace

void add_compare(CLI::App& app) {
    auto o = std::make_shared<CompareOptions>();
    CLI::App& c = *app.add_subcommand("compare", "Set models side by side: accuracy, size, work, memory, time");
    c.add_option("models", o->models, "Saved .safetensors files")->required()->expected(1, 1000);
    o->data.add_to(c);
    CLI::Option* data = c.get_option("--data")->required(false);
    c.add_option("--figure", o->figure,
                 "Draw accuracy over how many times smaller a file is than the first: FIGURE.svg, without gnuplot its "
                 "commands alone");
    for (const char* name : {"--mean", "--std", "--workers", "--skip-damaged", "--figure"})
        c.get_option(name)->needs(data);
    add_runs(c, o->runs);
    add_threads(c);
    c.add_flag("--json", o->json, "Print JSON");
    c.callback([o] { compare(*o); });
}

}  // namespace lathe::tools
