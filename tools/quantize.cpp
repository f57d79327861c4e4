#include <cstdio>

#include "lathe/compress/budget/size.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/optim/distill.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/quantize_linear.h"
#include "lathe/tools/run_folder.h"
#include "lathe/tools/training_data.h"
#include "lathe/tools/training_options.h"

namespace lathe::tools {

namespace {

struct QuantizeOptions {
    std::string model, method = "linear";
    TrainingDataOptions data;
    int64_t bits = 8;
    std::vector<std::string> layers;
    LinearOptions linear;
    int64_t finetune = 0;
    double distill = 0, temperature = 4;
    TrainingOptions training;
    RunFolder out;
};

// "conv1=4" -> {"conv1", 4}
std::pair<std::string, int64_t> parse_bits(const std::string& text) {
    const size_t sign = text.rfind('=');
    char* end = nullptr;
    const long bits = sign == std::string::npos ? 0 : std::strtol(text.c_str() + sign + 1, &end, 10);
    check(end && *end == 0 && end != text.c_str() + sign + 1, "--layer-bits: expected NAME=BITS such as conv1=8, got '",
          text, "'");
    return {text.substr(0, sign), std::max(-1L, std::min(99L, bits))};
}

double accuracy(nn::Module& model, const data::Dataset& images, const QuantizeOptions& o) {
    return optim::evaluate(model, images, {.workers = o.data.workers})["accuracy"];
}

// Trains the quantized model; false when it was stopped.
bool finetune(const QuantizeOptions& o, nn::Model& model, const TrainingData& data) {
    optim::Trainer trainer(model, o.training.make_optimizer());
    optim::FitOptions fit = o.training.fit;
    fit.epochs = o.finetune;
    fit.workers = o.data.workers;
    fit.out = o.out.path;
    fit.resume = o.out.resumes_training();
    fit.loss = o.training.cross_entropy();
    std::unique_ptr<nn::Model> teacher;
    if (o.distill > 0) {
        teacher = nn::load(o.model);
        fit.loss = optim::distill(*teacher, {.weight = o.distill, .temperature = o.temperature, .labels = fit.loss});
    }
    std::printf("%s, %s\n", trainer.optimizer().describe().c_str(),
                o.distill > 0 ? "taught by the dense model" : "labels alone");
    std::fflush(stdout);
    return o.training.run(trainer, data.train, data.validation, fit).end != optim::History::End::stopped;
}

void quantize(CLI::App& command, QuantizeOptions& o) {
    o.out.enter(command);
    check(!o.model.empty() && !o.data.data.empty(), "quantize: expected --model and --data");
    for (const char* name : {"--lr-schedule", "--distill", "--lr", "--ema", "--patience"})
        check(o.finetune > 0 || command.get_option(name)->count() == 0, "quantize: ", name,
              " is for training; expected --qat EPOCHS beside it");
    std::vector<std::pair<std::string, int64_t>> layers;
    for (const std::string& layer : o.layers) layers.push_back(parse_bits(layer));
    const compress::QuantizeOptions options = o.linear.make(o.bits, layers, o.training.fit.seed);
    o.training.begin();

    const auto model = nn::load(o.model);
    TrainingData data = o.data.open(o.data.form(*model, true), o.training.fit.seed);
    data.label_for(*model);
    const auto classes = static_cast<int64_t>(data.train.classes().size());
    check(model->classes() == classes, "quantize: the model tells ", model->classes(), " classes apart, ", o.data.data,
          " has ", classes);
    if (!o.linear.explain) o.out.claim(command);
    std::printf("%s", data.describe().c_str());
    std::fflush(stdout);
    const auto quantized = quantize_linear(o.linear, options, *model, data.plain);
    if (!quantized) return;
    TextTable table({"", "validation", "test"});
    const auto add = [&](const char* what, nn::Module& which) {
        table.add({what, format("%.2f%%", accuracy(which, data.validation, o)),
                   data.test ? format("%.2f%%", accuracy(which, *data.test, o)) : ""});
    };
    add("dense", *model);
    add("quantized", *quantized);
    if (o.finetune > 0) {
        if (!finetune(o, *quantized, data))
            return say_stopped("lathe quantize --out " + shell_quoted(o.out.path) + " --resume");
        nn::load_weights(*quantized, o.out / "best.safetensors");
        add("fine-tuned", *quantized);
    }
    const std::string file = o.out / "quantized.safetensors";
    nn::save(*quantized, file, nn::Weights::encoded);
    std::printf("\n%s%s\n", table.str().c_str(), file.c_str());
}

}  // namespace

void add_quantize(CLI::App& app) {
    auto o = std::make_shared<QuantizeOptions>();
    CLI::App& c =
        *app.add_subcommand("quantize", "Store the weights of a trained model in few bits, and train them so");
    c.add_option("--model", o->model, "A saved .safetensors file");
    o->data.add_to(c);
    c.add_option("--method", o->method, "linear: weights and activations as scale * integer")
        ->check(CLI::IsMember({"linear"}))
        ->capture_default_str();
    c.add_option("--bits", o->bits, "Of a weight")->check(CLI::Range(2, 8))->capture_default_str();
    c.add_option("--layer-bits", o->layers,
                 "NAME=BITS for some layers; * stands for anything; the last one that matches counts")
        ->expected(1, 1000);
    o->linear.add_to(c);
    c.add_option("--qat,--finetune", o->finetune, "Epochs of training with weights and activations quantized")
        ->check(NonNegativeNumber)
        ->capture_default_str();
    c.add_option("--distill", o->distill, "Weight of the dense model's outputs in the loss; 0: labels alone")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    c.add_option("--temperature", o->temperature, "Of distillation")->check(PositiveNumber)->capture_default_str();
    o->training.add_to(c, 0.01);
    o->out.add_to(c, "quantized.safetensors, and for what training leaves there");
    c.callback([&c, o] { quantize(c, *o); });
}

}  // namespace lathe::tools
