#include "lathe/tools/nas_supernet.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "lathe/core/files/file.h"
#include "lathe/core/fnv1a.h"
#include "lathe/core/parallel.h"
#include "lathe/core/text_table.h"
#include "lathe/nas/elastic/compressed_subnet.h"
#include "lathe/nas/predict/accuracy_table.h"
#include "lathe/nas/predict/efficiency.h"
#include "lathe/nas/predict/proxies.h"
#include "lathe/nas/space/network.h"
#include "lathe/nas/train/strategy.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/common_options.h"
#include "lathe/tools/nas_proxies.h"
#include "lathe/tools/progress.h"
#include "lathe/tools/run_folder.h"
#include "lathe/tools/supernet_options.h"
#include "lathe/tools/training_data.h"
#include "lathe/tools/training_options.h"

namespace lathe::tools {

namespace {

std::string megas(const nas::Space& space, const nas::Arch& arch) {
    return nas::text_of(nas::Quantity::macs, nas::efficiency(space, arch).macs);
}

// ---- train ----

struct Train {
    std::string space = nas::ofa_mobilenet_cifar().name, strategy = "sandwich";
    nas::SandwichOptions sandwich;
    int64_t calibration = 2000;
    TrainingDataOptions data;
    TrainingOptions training;
    RunFolder out;
};

void train(CLI::App& command, Train& o) {
    o.out.enter(command);
    check(!o.data.data.empty(), "train: expected --data");
    check(o.training.fit.ema == 0 && !o.training.fit.recompute_activations,
          "train: --ema and --recompute-activations are for one network, not for a supernet");
    const nas::Space& named = nas::space_named(o.space);
    o.training.begin();
    const int64_t side = named.choices.image_size.back();
    const TrainingData data = o.data.open({.size = {side, side, 3}}, o.training.fit.seed);
    const uint64_t seed = o.training.fit.seed;
    const auto made = new_supernet(named, data, o.calibration, seed);
    nas::SpaceSupernet& net = *made;
    const nas::Space& space = net.space();
    o.sandwich.seed = seed;
    const auto strategy = o.strategy == "sandwich"
                              ? nas::sandwich(net, o.sandwich)
                              : nas::progressive(net, {.teacher = o.out / "teacher.safetensors", .seed = seed});
    optim::Trainer trainer(net, o.training.make_optimizer());
    o.out.claim(command);

    std::printf("%s%s, %s networks: %s to %s MACs, %s parameters\n%s, %s, %d thread%s, into %s\n",
                data.describe().c_str(), space.name.c_str(), space.count().c_str(),
                megas(space, space.smallest()).c_str(), megas(space, space.largest()).c_str(),
                with_commas(net.parameter_count()).c_str(), strategy->settings().at("strategy").c_str(),
                trainer.optimizer().describe().c_str(), threads(), threads() == 1 ? "" : "s", o.out.path.c_str());
    std::fflush(stdout);
    const optim::FitOptions fit = o.training.fit_into(o.out, o.data.workers);
    const optim::History history = o.training.run(trainer, data.train, data.validation, strategy->fitted(fit));
    if (history.end == optim::History::End::stopped) return say_stopped("nas train", o.out);

    const std::string file = o.out / "supernet.safetensors";
    net.save(file);
    TextTable table({"subnet", "image size", "macs", "validation", data.test ? "test" : ""});
    const auto add = [&](const std::string& name, const nas::Arch& arch) {
        const auto model = net.extract(net.subnet(arch));
        const auto accuracy = [&](const data::Dataset& images) {
            return percent(evaluate_subnet(*model, images, fit.workers)["accuracy"] / 100);
        };
        table.add({name, std::to_string(arch.image_size), megas(space, arch), accuracy(data.validation),
                   data.test ? accuracy(*data.test) : ""});
    };
    add("largest", space.largest());
    add("smallest", space.smallest());
    std::printf("%sin %s\n", table.str().c_str(), file.c_str());
}

// ---- extract ----

struct Extract {
    SupernetOptions from;
    std::string arch, out;
};

void add_space(CLI::App& c, SupernetOptions& from) {
    c.add_option("--space", from.space, "The supernet's own, or its joint one: with bits and zeros of each block");
}

void extract(const Extract& o) {
    check(!std::filesystem::exists(o.out), "extract: ", o.out, " is there already; expected another --out");
    const auto [net, data, space, calibration] = o.from.open();
    const nas::Arch arch = space.parse(o.arch);
    const auto model = space.joint() ? nas::pruned_subnet(*net, space, arch, calibration)
                                     : net->extract(net->subnet(arch));
    nn::save(*model, o.out);
    std::printf("%s\n%s MACs, %s parameters, validation %s%s\n%sin %s\n", arch.str().c_str(),
                megas(space, arch).c_str(), with_commas(model->parameter_count()).c_str(),
                evaluate_subnet(*model, data.validation, o.from.data.workers).str().c_str(),
                data.test ? (", test " + evaluate_subnet(*model, *data.test, o.from.data.workers).str()).c_str() : "",
                space.joint() ? "its weights are pruned; `lathe quantize --method linear` gives them its bits\n" : "",
                o.out.c_str());
}

// ---- sample ----

struct Sample {
    SupernetOptions from;
    int64_t subnets = 100;
    std::string prefilter;  // a proxy; none: all that are drawn are measured
    double keep = 0.5;
    int64_t images = 64;
    uint64_t seed = 0;
    std::string out;
};

// Tells tables of other supernets, images or prefilters apart.
std::string origin_of(nas::SpaceSupernet& net, const nas::Space& space, const Sample& o, const data::Dataset& images) {
    uint64_t hash = mix(images.fingerprint(), static_cast<uint64_t>(o.from.calibration));
    for (const auto& [name, tensor] : net.state())
        hash = mix(hash, fnv1a(std::string_view(reinterpret_cast<const char*>(tensor.raw()), tensor.bytes())));
    if (space.joint()) hash = mix(hash, fnv1a(space.name));
    if (!o.prefilter.empty())
        hash = mix(hash, fnv1a(format("%s %.17g", o.prefilter.c_str(), o.keep)), static_cast<uint64_t>(o.images));
    return format("%08x", static_cast<unsigned>(hash));
}

// The subnets of which row i is one: each row has its own, 1 / keep of them on average, so that a table can go on.
std::vector<nas::Arch> drawn(const Sample& o, const nas::Space& space, int64_t i) {
    const double draws = o.prefilter.empty() ? 1 : 1 / o.keep;
    const auto until = [&](int64_t row) { return static_cast<uint64_t>(std::floor(static_cast<double>(row) * draws)); };
    std::vector<nas::Arch> archs;
    for (uint64_t k = until(i); k < until(i + 1); ++k) {
        Random random(o.seed, k);
        archs.push_back(space.sample(random));
    }
    return archs;
}

// The first of the best by the proxy.
nas::Arch chosen(const Sample& o, const nas::Space& space, std::vector<nas::Arch> archs, const data::Dataset& images) {
    if (o.prefilter.empty()) return archs[0];
    std::vector<double> values;
    for (const nas::Arch& arch : archs)
        values.push_back(nas::proxy_of(nas::proxy_named(o.prefilter), space, arch, images, o.seed));
    return archs[static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin())];
}

void sample(const Sample& o) {
    check(o.keep >= 0.001, "--keep: expected a share of 0.001 or more, got ", o.keep);
    const SupernetOptions::Opened opened = o.from.open();
    const nas::Space& space = opened.space;
    const data::Dataset& validation = opened.data.validation;
    const data::Dataset seen_by_proxy = opened.data.plain.sample(o.images, o.seed);
    const std::string origin = origin_of(*opened.net, space, o, validation);
    nas::AccuracyTable table;
    if (std::filesystem::exists(o.out)) {
        table = nas::read_accuracy_table(space, o.out);
        bool same = read_text_file(o.out).find("," + origin + "\n") != std::string::npos;
        for (size_t i = 0; i < table.size(); ++i) {
            const std::vector<nas::Arch> archs = drawn(o, space, static_cast<int64_t>(i));
            same &= std::find(archs.begin(), archs.end(), table[i].arch) != archs.end();
        }
        check(same, o.out,
              ": expected a table of this supernet, these images, prefilter and seed, to go on with; got another");
    }
    Progress progress("sample", o.subnets);
    for (auto i = static_cast<int64_t>(table.size()); i < o.subnets; ++i) {
        const nas::Arch arch = chosen(o, space, drawn(o, space, i), seen_by_proxy);
        const double accuracy = evaluate_subnet(*opened.subnet(arch), validation, o.from.data.workers)["accuracy"];
        table.push_back({arch, accuracy / 100});
        write_file_atomically(o.out, nas::csv_of(table, origin));
        progress.update(i + 1, format("%.2f%%", accuracy));
    }
    progress.clear();
    std::printf("%zu subnets, measured on %s images, in %s\n", table.size(),
                with_commas(validation.size()).c_str(), o.out.c_str());
}

}  // namespace

void add_nas_train(CLI::App& nas) {
    auto o = std::make_shared<Train>();
    CLI::App& c = *nas.add_subcommand("train", "Train a supernet: all networks of a design space at once");
    c.add_option("--space", o->space, "The design space")->capture_default_str();
    c.add_option("--strategy", o->strategy,
                 "sandwich: every step the largest, the smallest and random subnets; progressive: first the largest, "
                 "then it teaches ever smaller ones")
        ->check(CLI::IsMember({"sandwich", "progressive"}))
        ->capture_default_str();
    c.add_option("--random", o->sandwich.random, "Random subnets in a step of sandwich")
        ->check(NonNegativeNumber)
        ->capture_default_str();
    c.add_option("--distill", o->sandwich.distill,
                 "Share of the largest's outputs in what the others of sandwich learn; the rest: the labels")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    add_calibration(c, o->calibration);
    o->data.add_to(c);
    c.add_option("--epochs", o->training.fit.epochs, "Times through the training images")
        ->check(PositiveNumber)
        ->capture_default_str();
    o->training.add_to(c, 0.05);
    o->out.add_to(c, "supernet.safetensors, last.safetensors, log.csv and config.json");
    c.callback([&c, o] { train(c, *o); });
}

void add_nas_extract(CLI::App& nas) {
    auto o = std::make_shared<Extract>();
    CLI::App& c = *nas.add_subcommand("extract", "Take a subnet out of a supernet, as a network of its own");
    c.add_option("--arch", o->arch, "Which one: JSON as `lathe nas show` prints it, or smallest, or largest")
        ->required();
    o->from.add_to(c, true);
    add_space(c, o->from);
    c.add_option("--out", o->out, "File for the network")->required();
    c.callback([o] { extract(*o); });
}

void add_nas_sample(CLI::App& nas) {
    auto o = std::make_shared<Sample>();
    CLI::App& c = *nas.add_subcommand(
        "sample", "Measure random subnets of a supernet: the table that `lathe nas predictor` learns from");
    c.add_option("--subnets", o->subnets, "How many; a table that is there already goes on to so many")
        ->check(PositiveNumber)
        ->capture_default_str();
    o->from.add_to(c, true);
    add_space(c, o->from);
    c.add_option("--prefilter", o->prefilter,
                 "Draw more subnets, SUBNETS / --keep, and measure the best of each few by this zero-cost proxy: " +
                     joined(nas::proxy_names()))
        ->check(CLI::IsMember(nas::proxy_names()));
    add_share(c, "--keep", o->keep, "Of --prefilter: share of the subnets drawn that are measured");
    add_proxy_images(c, o->images);
    c.add_option("--seed", o->seed, "Of the subnets")->capture_default_str();
    c.add_option("--out", o->out, "CSV file for the table")->required();
    c.callback([o] { sample(*o); });
}

}  // namespace lathe::tools
