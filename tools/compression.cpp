#include "lathe/tools/compression.h"

#include <cstdio>
#include <filesystem>

#include "lathe/core/text_table.h"
#include "lathe/optim/distill.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/common_options.h"
#include "lathe/tools/progress.h"
#include "lathe/tools/saved.h"

namespace lathe::tools {

namespace {

// Trains the model; false when it was stopped.
bool finetune(const CompressionOptions& o, nn::Model& model, const TrainingData& data, const Before& before,
              const Training& how) {
    optim::Trainer trainer(model, o.training.make_optimizer());
    optim::FitOptions fit = o.training.fit_into(o.out, o.data.workers);
    fit.epochs = o.finetune;
    if (how.hook) fit.hooks = {how.hook};
    std::unique_ptr<nn::Model> teacher;
    if (o.distill > 0) {
        teacher = nn::load(o.model);
        fit.loss = optim::distill(*teacher, {.weight = o.distill, .temperature = o.temperature, .labels = fit.loss});
    }
    std::printf("%s, %s\n", trainer.optimizer().describe().c_str(),
                o.distill > 0 ? ("taught by the " + before.from + " model").c_str() : "labels alone");
    std::fflush(stdout);
    if (how.rounds > 1)
        fit.schedule = optim::parse_schedule(o.training.schedule + "+restart:" +
                                             std::to_string(std::max<int64_t>(1, o.finetune / how.rounds)));
    return o.training.run(trainer, data.train, data.validation, fit).end != optim::History::End::stopped;
}

// What became of the model, in one table.
void summarise(const CompressionOptions& o, const TrainingData& data, const Before& before, nn::Model& model,
               nn::Weights weights, const std::string& file) {
    const nn::Coding coding = weights == nn::Weights::huffman ? nn::Coding::huffman : nn::Coding::packed;
    const compress::SizeReport::Entry total = compress::measure_size(model, coding).total();
    const auto percent = [](double value) { return format("%.2f%%", value); };
    const auto test = [&](nn::Model& which) { return data.test ? percent(accuracy(which, *data.test, o)) : ""; };
    TextTable table({"", "validation", "test", "parameters", "not zero", "parameter bytes", "file"});
    table.add({before.from, percent(before.given), test(*nn::load(o.model)), with_commas(before.size.elements), "",
               with_commas(before.size.dense_bytes),
               with_commas(static_cast<int64_t>(std::filesystem::file_size(o.model)))});
    if (before.now >= 0) table.add({before.how, percent(before.now), "", "", "", "", ""});
    table.add({o.finetune ? "fine-tuned" : "saved", percent(accuracy(model, data.validation, o)), test(model),
               with_commas(total.elements), with_commas(total.nonzeros), with_commas(total.packed_bytes),
               with_commas(static_cast<int64_t>(std::filesystem::file_size(file)))});
    std::printf("\n%s%.1f%% of the parameters and %.1f%% of their bytes are left, in %s\n", table.str().c_str(),
                100.0 * static_cast<double>(total.nonzeros) / static_cast<double>(before.size.elements),
                100.0 * static_cast<double>(total.packed_bytes) / static_cast<double>(before.size.dense_bytes),
                file.c_str());
}

}  // namespace

void CompressionOptions::add_model_to(CLI::App& c) {
    c.add_option("--model", model, "A saved .safetensors file");
    data.add_to(c);
}

void CompressionOptions::add_training_to(CLI::App& c, const std::string& file, const std::string& finetune_names) {
    c.add_option(finetune_names, finetune, "Epochs of training")->check(NonNegativeNumber)->capture_default_str();
    add_share(c, "--distill", distill, "Weight of the given model's outputs in the loss; 0: labels alone");
    c.add_option("--temperature", temperature, "Of distillation")->check(PositiveNumber)->capture_default_str();
    training.add_to(c, 0.01);
    out.add_to(c, file + ", and for what training leaves there");
}

void CompressionOptions::enter(CLI::App& c) {
    const std::string name = c.get_name();
    out.enter(c);
    check(!model.empty() && !data.data.empty(), name, ": expected --model and --data");
    for (const char* option : {"--lr-schedule", "--distill", "--lr", "--ema", "--patience", "--optimizer", "--momentum",
                               "--weight-decay", "--label-smoothing", "--clip"})
        check(finetune > 0 || c.get_option(option)->count() == 0, name, ": ", option,
              " is for training; expected --finetune EPOCHS beside it");
    training.begin();
}

Opened open(const CompressionOptions& o, const std::string& command) {
    auto model = open_network(o.model);
    TrainingData data = o.data.open(o.data.form(*model, Origin::saved), o.training.fit.seed);
    data.label_for(*model);
    const auto classes = static_cast<int64_t>(data.train.classes().size());
    check(model->classes() == classes, command, ": the model tells ", model->classes(), " classes apart, ", o.data.data,
          " has ", classes);
    return {std::move(model), std::move(data)};
}

double accuracy(nn::Module& model, const data::Dataset& images, const CompressionOptions& o) {
    return optim::evaluate(model, images, {.workers = o.data.workers})["accuracy"];
}

data::Dataset hold_out(TrainingData& data, int64_t images, uint64_t seed, const std::string& command) {
    check(images < data.plain.size(), command, ": --scan-images ", images, " holds all ", data.plain.size(),
          " training images out of the training; expected fewer");
    data.train = data.train.without_sample(images, seed);
    return data.plain.sample(images, seed);
}

compress::Sensitivity scan_held_out(const CompressionOptions& o, nn::Module& model, const data::Dataset& held_out,
                                    compress::ScanOptions scan) {
    scan.images = 0;
    scan.workers = o.data.workers;
    scan.cache = o.out / "scan.json";
    Progress progress("scan", held_out.size());
    scan.go_on = [&](int64_t done, int64_t total) { return progress.update(held_out.size() * done / total), true; };
    const compress::Sensitivity sensitivity = compress::scan_sensitivity(model, held_out, scan);
    progress.clear();
    return sensitivity;
}

Before measure(const std::string& command, const std::string& from, const std::string& how, nn::Model& model,
               const data::Dataset& validation, const CompressionOptions& o) {
    return {.command = command,
            .from = from,
            .how = how,
            .given = accuracy(model, validation, o),
            .size = compress::measure_size(model).total()};
}

bool train(CompressionOptions& o, nn::Model& model, const TrainingData& data, const Before& before,
           const Training& training) {
    if (before.now >= 0)
        std::printf("validation accuracy: %s %.2f%%, %s %.2f%%\n", before.from.c_str(), before.given,
                    before.how.c_str(), before.now);
    std::fflush(stdout);
    if (o.finetune == 0) return true;
    if (!finetune(o, model, data, before, training)) {
        say_stopped(before.command, o.out);
        return false;
    }
    nn::load_weights(model, o.out / "best.safetensors");
    return true;
}

void write(const CompressionOptions& o, nn::Model& model, const TrainingData& data, const Before& before,
           nn::Weights weights) {
    const std::string file = o.out / (before.how + ".safetensors" + (weights == nn::Weights::huffman ? ".gz" : ""));
    nn::save(model, file, weights);
    summarise(o, data, before, model, weights, file);
}

void finish(CompressionOptions& o, nn::Model& model, const TrainingData& data, const Before& before,
            nn::Weights weights, const Training& training) {
    if (train(o, model, data, before, training)) write(o, model, data, before, weights);
}

std::pair<std::string, double> parse_layer(const std::string& text, const char* option, const char* example) {
    const size_t sign = text.rfind('=');
    char* end = nullptr;
    const double value = sign == std::string::npos ? 0 : std::strtod(text.c_str() + sign + 1, &end);
    check(end && *end == 0 && end != text.c_str() + sign + 1, option, ": expected ", example, ", got '", text, "'");
    return {text.substr(0, sign), value};
}

}  // namespace lathe::tools
