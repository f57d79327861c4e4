#include "lathe/tools/labs/network.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "lathe/core/files/file.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/registry.h"
#include "lathe/optim/evaluate.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/labs/walk.h"
#include "lathe/tools/progress.h"

namespace lathe::tools {

namespace {

std::string dense_model(const NetworkOptions& o) {
    if (!o.model.empty()) return o.model;
    const std::string file = o.out + "/dense.safetensors";
    if (std::filesystem::exists(file)) return file;
    seed(1);
    const auto model = nn::make_model("vgg-cifar", {.width = 0.125});
    const data::Dataset all = o.data.open(data::Split::train, *model, "auto");
    const data::Dataset images = o.limit ? all.sample(o.limit) : all;
    std::printf("no --model: training vgg-cifar at an eighth of its width for %s\n", file.c_str());
    model->class_names = images.classes();
    model->scaling = {images.normalization().mean, images.normalization().std};
    train(*model, optim::sgd({.lr = 0.1, .momentum = 0.9, .weight_decay = 1e-4}), optim::one_cycle(), o.train_epochs,
          64, images, o.data.open(data::Split::test, *model, "none"));
    nn::save(*model, file);
    return file;
}

// Rows of gnuplot's data: the middle of each bin, and how many values lie there.
std::string rows_of(const Histogram& h, double limit, int64_t& most) {
    std::vector<int64_t> bins(static_cast<size_t>(h.bins), 0);
    const float* values = h.values.data<float>();
    for (int64_t i = 0; i < h.values.numel(); ++i) {
        const auto bin = static_cast<int64_t>((values[i] / limit + 1) / 2 * h.bins);
        if (values[i] != 0 || h.limit > 0) ++bins[static_cast<size_t>(std::clamp<int64_t>(bin, 0, h.bins - 1))];
    }
    most = *std::max_element(bins.begin(), bins.end());
    std::string rows;
    for (int i = 0; i < h.bins; ++i)
        rows += format("%g %lld\n", limit * (2.0 * (i + 0.5) / h.bins - 1),
                       static_cast<long long>(bins[static_cast<size_t>(i)]));
    return rows;
}

double greatest_magnitude(const Tensor& values) {
    double most = 0;
    for (int64_t i = 0; i < values.numel(); ++i) most = std::max<double>(most, std::abs(values.data<float>()[i]));
    return most > 0 ? most : 1;
}

}  // namespace

void NetworkOptions::add_to(CLI::App& app) {
    app.add_option("--model", model,
                   "A saved .safetensors file, such as a trained resnet20 or vgg-cifar; none: OUT/dense.safetensors, "
                   "which is trained the first time");
    data.add_to(app);
    app.get_option("--data")->required(false)->capture_default_str();
    app.add_option("--train-epochs", train_epochs, "Of that training")->check(PositiveNumber)->capture_default_str();
    app.add_option("--epochs", epochs, "Of each fine-tuning")->check(PositiveNumber)->capture_default_str();
    app.add_option("--scan-images", scan_images, "Held out of the training images, to try things on")
        ->check(PositiveNumber)
        ->capture_default_str();
    app.add_option("--limit", limit, "Take N training images only, drawn at random; 0: all")
        ->check(NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--out", out, "Folder for figures and models")->capture_default_str();
}

double Lab::accuracy(nn::Module& module) const { return optim::evaluate(module, test)["accuracy"]; }

OpenedLab open_lab(const NetworkOptions& o) {
    make_folder(o.out);
    const std::string file = dense_model(o);
    auto dense = nn::load(file);
    const auto open = [&](data::Split split, const char* augment) {
        const data::Dataset all = o.data.open(split, *dense, augment);
        return o.limit && split == data::Split::train ? all.sample(o.limit) : all;
    };
    Lab lab{file, o.out, o.epochs, open(data::Split::train, "auto").without_sample(o.scan_images),
            open(data::Split::train, "none").sample(o.scan_images), open(data::Split::test, "none")};
    const double accuracy = lab.accuracy(*dense);
    std::printf("%s: %s\n%s\naccuracy %.2f%%\n", file.c_str(), dense->architecture().c_str(),
                lab.test.describe().c_str(), accuracy);
    return {std::move(lab), std::move(dense), accuracy};
}

optim::History train(nn::Module& model, std::unique_ptr<optim::Optimizer> optimizer, optim::Schedule schedule,
                     int64_t epochs, int64_t batch, const data::Dataset& train, const data::Dataset& test,
                     nas::Strategy* strategy) {
    optim::Trainer trainer(model, std::move(optimizer));
    std::optional<Progress> progress;
    const optim::FitOptions options{
        .epochs = epochs, .batch = batch, .schedule = schedule,
        .on_batch = [&](const optim::BatchReport& r) {
            if (!progress) progress.emplace(format("epoch %d/%d", int(r.epoch), int(r.epochs)), train.size());
            progress->update(std::min(train.size(), r.batch * batch), r.train.str());
        },
        .on_epoch = [&](const optim::EpochReport& e) {
            progress.reset();
            std::printf("epoch %d: accuracy %.2f%%\n", int(e.epoch), e.validation["accuracy"]);
            std::fflush(stdout);
        }};
    return trainer.fit(train, test, strategy ? strategy->fitted(options) : options);
}

void draw_histograms(const std::string& folder, const char* name, const std::vector<Histogram>& histograms) {
    std::string data, plots;
    int count = 0;
    for (const Histogram& h : histograms) {
        const double limit = h.limit > 0 ? h.limit : greatest_magnitude(h.values);
        int64_t most = 0;
        data += format("$h%d << end\n", count) + rows_of(h, limit, most) + "end\n";
        plots += "set title " + plot_quoted(h.title) + format("\nplot $h%d using 1:2 with boxes notitle", count);
        if (!h.levels.empty()) {
            data += format("$l%d << end\n", count);
            for (float level : h.levels)
                data += format("%g %lld\n", static_cast<double>(level), static_cast<long long>(most));
            data += "end\n";
            plots += format(", $l%d using 1:2 with impulses linecolor 'red' notitle", count);
        }
        plots += "\n";
        ++count;
    }
    const int rows = (count + 2) / 3;
    draw(folder, name,
         data +
             format("set style fill solid\nset xtics font ',8'\nset ytics font ',8'\nset title font ',10'\nset "
                    "multiplot layout %d,3\n",
                    rows) +
             plots + "unset multiplot\n",
         160 * rows);
}

std::vector<Histogram> weight_histograms(nn::Module& model) {
    const NoGrad no_grad;
    std::vector<Histogram> histograms;
    for (const auto& [name, parameter] : model.named_parameters())
        if (parameter->value().rank() >= 2)
            histograms.push_back({.title = name, .values = parameter->effective().value()});
    return histograms;
}

}  // namespace lathe::tools
