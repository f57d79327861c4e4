#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "lathe/core/files/file.h"
#include "lathe/core/parallel.h"
#include "lathe/core/print.h"
#include "lathe/core/text_table.h"
#include "lathe/nas/predict/accuracy_predictor.h"
#include "lathe/nas/space/layers.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/common_options.h"
#include "lathe/tools/json_line.h"
#include "lathe/tools/nas_costs.h"
#include "lathe/tools/nas_figures.h"
#include "lathe/tools/nas_measure.h"
#include "lathe/tools/nas_proxies.h"
#include "lathe/tools/nas_search.h"
#include "lathe/tools/nas_supernet.h"
#include "lathe/tools/plot.h"
#include "lathe/tools/progress.h"

namespace lathe::tools {

namespace {

using Json = nlohmann::ordered_json;

// ---- show ----

struct Show {
    std::string space = nas::mcunetv2().name, arch, predictor, times, out;
    bool json = false;
};

void show(const Show& o) {
    const nas::Space& space = nas::space_named(o.space);
    const nas::Arch arch = space.parse(o.arch);
    nas::Efficiency cost = nas::efficiency(space, arch);
    if (!o.times.empty())
        cost.latency = std::llround(open_times(o.times, space).seconds(arch.uncompressed()) * 1e9);
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
    std::vector<std::string> header{"block", "stage", "kernel", "expansion", "channels", "stride", "shortcut",
                                    "squeeze"};
    if (space.joint()) header.insert(header.end(), {"bits", "kept"});
    TextTable table(header);
    for (const nas::Block& block : nas::layers_of(space, arch).blocks) {
        std::vector<std::string> row{std::to_string(block.index), std::to_string(block.stage + 1),
                                     std::to_string(block.kernel), std::to_string(block.expansion),
                                     format("%d-%d-%d", static_cast<int>(block.in), static_cast<int>(block.expanded),
                                            static_cast<int>(block.out)),
                                     std::to_string(block.stride), block.residual() ? "yes" : "",
                                     block.squeezed ? std::to_string(block.squeezed) : ""};
        if (space.joint()) row.insert(row.end(), {std::to_string(block.bits), std::to_string(block.kept) + "%"});
        table.add(row);
    }
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
    ProxyOptions proxies;
    bool json = false;
};

void train_predictor(Predictor& o) {
    const nas::Space& space = nas::space_named(o.space);
    o.training.schedule = optim::parse_schedule(o.schedule);
    nas::AccuracyTable table;
    for (const std::string& path : o.tables)
        for (nas::Measured& row : nas::read_accuracy_table(space, path)) table.push_back(std::move(row));
    const nas::AccuracyTable held_out = nas::held_out(table, o.training);
    const std::optional<data::Dataset> images = o.proxies.open(space, held_out.size(), o.training.seed);

    make_folder(o.out);
    Progress progress("predictor", o.training.epochs * 1000, !o.json);
    o.training.on_batch = [&](const optim::BatchReport& r) {
        progress.update((r.epoch - 1) * 1000 + 1000 * r.batch / std::max<int64_t>(1, r.batches), r.train.str());
    };
    const auto [predictor, report] = nas::train_predictor(space, table, o.training);
    progress.clear();
    std::vector<Ordering> orderings;
    if (images) orderings = o.proxies.compare(space, held_out, report, *images, o.training.seed, o.json);
    if (o.json) {
        Json out{{"trained_on", report.trained_on},
                 {"measured_on", report.measured.size()},
                 {"mae", report.mae.back()},
                 {"mae_of_mean", report.mean_mae},
                 {"mae_by_epoch", report.mae},
                 {"rmse", report.rmse},
                 {"kendall", report.kendall},
                 {"spearman", report.spearman},
                 {"seconds", report.seconds}};
        for (const Ordering& by : orderings)
            out["orderings"].push_back({{"by", by.by}, {"kendall", by.kendall}, {"spearman", by.spearman}});
        std::printf("%s", json_line(out).c_str());
    } else {
        for (size_t i = 0; i < report.mae.size(); ++i)
            std::printf("epoch %zu: mean absolute error %.5f\n", i + 1, report.mae[i]);
        print(report);
        if (images)
            std::printf("the first %s of them, on %s images of %s:\n%s", with_commas(o.proxies.networks).c_str(),
                        with_commas(images->size()).c_str(), images->info().name.c_str(), table_of(orderings).c_str());
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
                 "One or more tables: CSV with the columns resolution, wid, ks, e, d, acc (of a joint space bits and "
                 "kept, too), or the course's JSON files; gzip or plain")
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
    o->proxies.add_to(c);
    add_threads(c);
    c.add_option("--out", o->out, "Folder for predictor.safetensors, predictor.csv and predictor.svg")->required();
    c.add_flag("--json", o->json, "Print one JSON object");
    c.callback([o] { train_predictor(*o); });
}

}  // namespace

void add_nas(CLI::App& app) {
    CLI::App& c = *app.add_subcommand("nas", "Search a design space for the best network within limits");
    c.require_subcommand(1);
    add_nas_train(c);
    add_nas_sample(c);
    add_predictor(c);
    add_nas_measure(c);
    add_nas_search(c);
    add_nas_extract(c);
    add_show(c);
}

}  // namespace lathe::tools
