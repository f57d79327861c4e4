#include "lathe/tools/labs/small_space.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "lathe/compress/integer/lower.h"
#include "lathe/compress/integer/program_file.h"
#include "lathe/compress/quantize/prepare.h"
#include "lathe/core/files/file.h"
#include "lathe/core/text_table.h"
#include "lathe/nas/predict/accuracy_predictor.h"
#include "lathe/nas/search/evolution.h"
#include "lathe/nas/train/strategy.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/labs/network.h"
#include "lathe/tools/labs/walk.h"
#include "lathe/tools/nas_figures.h"
#include "lathe/tools/progress.h"
#include "lathe/tools/supernet_options.h"

namespace lathe::tools {

namespace {

using nas::Arch, nas::Quantity;

constexpr size_t kMeasured = 5;  // of those that a search found best
constexpr uint64_t kSeed = 1;
constexpr int64_t kCalibration = 2000;  // images that a subnet's statistics are measured on

// Trains a supernet and writes its file.
void train_supernet(const SmallSpaceOptions& o, const std::string& file) {
    const nas::Space& space = nas::space_named(o.space);
    const int64_t side = space.choices.image_size.back();
    const TrainingData data = o.data.open({.size = {side, side, 3}}, kSeed);
    seed(kSeed);
    const auto net = new_supernet(space, data, kCalibration, kSeed);
    const auto strategy = nas::sandwich(*net, {.seed = kSeed});
    train(*net, optim::sgd({.lr = 0.05, .momentum = 0.9, .weight_decay = 5e-4}), optim::cosine(), o.epochs, 64,
          data.train, data.validation, strategy.get());
    net->save(file);
}

// The supernet that is named, else the one that was trained here, now or before.
SupernetOptions::Opened opened(const SmallSpaceOptions& o, const std::string& out) {
    heading("11. A supernet that trains here");
    trap("takes a supernet as given, which was trained for days on several GPUs, and its table of accuracies",
         "the sandwich rule: each step trains the largest subnet on the labels, and the smallest and two random\n"
         "ones to answer as the largest does. Every subnet is measured with batch norm statistics of its own.");
    const bool own = o.supernet.empty();
    const std::string file = own ? out + "/supernet.safetensors" : o.supernet;
    if (own && std::filesystem::exists(file)) std::printf("trained before; another --out trains anew\n");
    else if (own) train_supernet(o, file);
    SupernetOptions::Opened opened =
        SupernetOptions{.file = file, .space = {}, .calibration = kCalibration, .seed = own ? kSeed : o.split_seed,
                        .data = o.data}
            .open();
    check(!own || opened.space.name == o.space, file, ": expected the space ", o.space, ", got ", opened.space.name,
          "; another --out trains anew");
    std::printf("%s%s: %s networks in one of %s parameters\n", opened.data.describe().c_str(), file.c_str(),
                opened.space.count().c_str(), with_commas(opened.net->parameter_count()).c_str());
    return opened;
}

class Walk {
public:
    Walk(const SmallSpaceOptions& o, const std::string& out) : o_(o), out_(out), opened_(opened(o, out)) {}

    void run() {
        heading("12. Its subnets, measured on images held out");
        const nas::AccuracyTable table = measured();
        const nas::AccuracyPredictor predictor = learnt(table);
        heading("13. The best network of half the multiplications");
        const Arch found = searched(predictor);
        heading("14. That network in integers alone");
        quantized(found);
    }

private:
    // In percent.
    double accuracy(const Arch& arch, const data::Dataset& images) {
        return evaluate_subnet(*opened_.subnet(arch), images, o_.data.workers)["accuracy"];
    }

    nas::AccuracyTable measured() {
        nas::AccuracyTable table;
        Progress progress("subnets", o_.subnets);
        for (int64_t i = 0; i < o_.subnets; ++i) {
            Random random(kSeed, static_cast<uint64_t>(i));
            const Arch arch = space_.sample(random);
            table.push_back({arch, accuracy(arch, data_.validation) / 100});
            progress.update(i + 1, percent(table.back().accuracy));
        }
        progress.clear();
        TextTable rows({"network", "image", "MACs", "held out"});
        const auto add = [&](const char* name, const Arch& arch, double share) {
            rows.add({name, std::to_string(arch.image_size), macs(arch), percent(share)});
        };
        add("largest", space_.largest(), accuracy(space_.largest(), data_.validation) / 100);
        add("smallest", space_.smallest(), accuracy(space_.smallest(), data_.validation) / 100);
        const auto [worst, best] = std::minmax_element(
            table.begin(), table.end(), [](const auto& a, const auto& b) { return a.accuracy < b.accuracy; });
        add("best at random", best->arch, best->accuracy);
        add("worst at random", worst->arch, worst->accuracy);
        std::printf("%s", rows.str().c_str());
        return table;
    }

    nas::AccuracyPredictor learnt(const nas::AccuracyTable& table) {
        auto [predictor, report] =
            nas::train_predictor(space_, table, {.epochs = 100, .batch = 16, .seed = kSeed});
        std::printf("\na predictor from %zu of them: %s", report.trained_on, report.str().c_str());
        draw(out_, "own_predictor", predictor_scatter(report), 700);
        return std::move(predictor);
    }

    // What is found, beside the best of those networks that are scaled as a whole: one expansion, depth, width and
    // image size for all blocks.
    Arch searched(const nas::AccuracyPredictor& predictor) {
        const int64_t most = nas::efficiency(space_, space_.largest()).macs / 2;
        const nas::Limits limits{{Quantity::macs, most}};
        std::printf("limit: %s MACs\n", nas::text_of(Quantity::macs, most).c_str());
        const nas::SearchResult result = nas::evolve(
            space_, [&](std::span<const Arch> archs) { return predictor(archs); }, limits,
            {.iterations = 50, .seed = kSeed});
        std::vector<Arch> found;
        for (size_t i = 0; i < std::min(kMeasured, result.finalists.size()); ++i)
            found.push_back(result.finalists[i].arch);
        TextTable rows({"network", "image", "MACs", "predicted", "held out", "test"});
        const auto add = [&](const char* name, const Arch& arch) {
            rows.add({name, std::to_string(arch.image_size), macs(arch), percent(predictor({&arch, 1})[0]),
                      percent(accuracy(arch, data_.validation) / 100), percent(accuracy(arch, data_.final()) / 100)});
        };
        const Arch best = best_of(found), rival = best_of(uniform(limits));
        add("largest", space_.largest());
        add("uniform", rival);
        add("found", best);
        std::printf("%s\"uniform\" is the best of all with one expansion and one depth throughout; \"found\" the best "
                    "of %zu\nthat the predictor likes most, as measured on the images held out\n",
                    rows.str().c_str(), found.size());
        write_file_atomically(out_ + "/own_found.svg", drawing_of(space_, best));
        std::printf("figure: %s/own_found.svg\n", out_.c_str());
        return best;
    }

    std::vector<Arch> uniform(const nas::Limits& limits) const {
        std::vector<Arch> archs;
        for (const int wid : space_.choices.wid)
            for (const int e : space_.choices.e)
                for (const int d : space_.choices.d)
                    for (const int side : space_.choices.image_size) {
                        Arch arch = space_.largest();
                        arch.wid = wid, arch.image_size = side;
                        std::fill(arch.e.begin(), arch.e.end(), e);
                        std::fill(arch.d.begin(), arch.d.end(), d);
                        if (nas::fits(nas::efficiency(space_, arch), limits)) archs.push_back(arch);
                    }
        return archs;
    }

    Arch best_of(const std::vector<Arch>& archs) {
        Arch best = archs.at(0);
        double most = -1;
        for (const Arch& arch : archs)
            if (const double now = accuracy(arch, data_.validation); now > most) most = now, best = arch;
        return best;
    }

    std::string macs(const Arch& arch) const {
        return nas::text_of(Quantity::macs, nas::efficiency(space_, arch).macs);
    }

    void quantized(const Arch& arch) {
        const auto model = opened_.subnet(arch);
        const auto at_its_size = [&](const data::Dataset& images) { return nas::scaled(images, arch.image_size); };
        TextTable rows({"network", "test"});
        const auto add = [&](const char* name, const optim::Evaluation& of) {
            rows.add({name, percent(of["accuracy"] / 100)});
        };
        add("cut out", evaluate_subnet(*model, data_.final(), o_.data.workers));
        auto prepared = compress::prepare_quantization(*model, at_its_size(data_.plain).sample(512, kSeed)).model;
        add("8 bits", evaluate_subnet(*prepared, data_.final(), o_.data.workers));
        train(*prepared, optim::sgd({.lr = 0.002, .momentum = 0.9}), optim::cosine(), o_.qat, 64,
              at_its_size(data_.train), at_its_size(data_.validation));
        add("8 bits, trained", evaluate_subnet(*prepared, data_.final(), o_.data.workers));
        const compress::IntegerProgram program = compress::lower_to_integer(*prepared);
        add("integers alone",
            optim::evaluate([&](const Tensor& x) { return program(x); }, at_its_size(data_.final())));
        const nas::Efficiency cost = nas::efficiency(space_, arch);
        const auto told = [](Quantity quantity, int64_t value) { return nas::text_of(quantity, value); };
        std::printf("%sarena %s by its program, %s in closed form; flash %s; in %s/own-int8.safetensors\n",
                    rows.str().c_str(), told(Quantity::arena, program.memory_plan().total).c_str(),
                    told(Quantity::arena, cost.arena).c_str(), told(Quantity::flash, cost.flash).c_str(),
                    out_.c_str());
        compress::save(program, out_ + "/own-int8.safetensors");
    }

    const SmallSpaceOptions& o_;
    std::string out_;
    SupernetOptions::Opened opened_;
    const TrainingData& data_ = opened_.data;
    const nas::Space& space_ = opened_.space;
};

}  // namespace

void SmallSpaceOptions::add_to(CLI::App& app) {
    app.add_option("--supernet", supernet,
                   "supernet.safetensors of `lathe nas train`; none: OUT/supernet.safetensors, which is trained the "
                   "first time");
    app.add_option("--split-seed", split_seed, "The --seed of its training, which chose the images held out")
        ->capture_default_str();
    app.add_option("--space", space, "Of the training here")->capture_default_str();
    data.add_to(app);
    app.get_option("--data")->required(false)->capture_default_str();
    app.add_option("--train-epochs", epochs, "Of the training here")->check(PositiveNumber)->capture_default_str();
    app.add_option("--subnets", subnets, "That are measured for a predictor")
        ->check(CLI::Range(10, 1'000'000))
        ->capture_default_str();
    app.add_option("--qat", qat, "Epochs of quantization-aware training")->check(PositiveNumber)->capture_default_str();
}

void walk_small_space(const SmallSpaceOptions& o, const std::string& out) { Walk(o, out).run(); }

}  // namespace lathe::tools
