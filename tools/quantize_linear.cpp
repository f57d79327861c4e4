#include "lathe/tools/quantize_linear.h"

#include <cstdio>
#include <filesystem>
#include <optional>

#include "lathe/compress/integer/lower.h"
#include "lathe/compress/integer/program_file.h"
#include "lathe/compress/quantize/explain.h"
#include "lathe/compress/quantize/fake_quantize.h"
#include "lathe/core/print.h"
#include "lathe/core/text_table.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/progress.h"

namespace lathe::tools {

void LinearOptions::add_to(CLI::App& c) {
    const CLI::Range bits(2, 8);
    c.add_option("--weight-bits", weight_bits, "Of method linear, as --bits")->check(bits);
    c.add_option("--activation-bits", activation_bits, "Likewise of activations; what runs in integers takes 8")
        ->check(bits)
        ->capture_default_str();
    c.add_option("--end-bits", end_bits, "What the first and last weights, the input and the output have at least")
        ->check(bits)
        ->capture_default_str();
    c.add_option("--observer", observer,
                 "How ranges of activations are chosen: min-max, moving-average, percentile, entropy, mse, or auto: "
                 "for each the one that moves the output least")
        ->check(CLI::IsMember(compress::observer_names()))
        ->capture_default_str();
    c.add_option("--calibration", images, "Training images that ranges are taken from")
        ->check(PositiveNumber)
        ->capture_default_str();
    c.add_flag("--per-tensor", per_tensor, "One scale for a weight, not one for each output channel");
    c.add_flag("--equalize", equalize,
               "Make channels of neighbouring layers alike before (Nagel et al. 2019); channels that reach the 6 of a "
               "relu6 stay as they are");
    c.add_flag("--correct-bias", correct_bias, "Let biases take up what rounding does to means (Nagel et al. 2019)");
    c.add_option("--adaround", adaround, "Iterations a layer in which roundings are learned (Nagel et al. 2020)")
        ->check(NonNegativeNumber)
        ->capture_default_str();
    c.add_option("--scale-rule", scale_rule, "How scales of activations learn with --finetune: lsq or pact")
        ->check(CLI::IsMember({"lsq", "pact"}))
        ->capture_default_str();
    c.add_option("--norms", norms,
                 "folded for good before training, or simulated: folded into the weights that are quantized, while "
                 "they train on with each batch's statistics (Krishnamoorthi 2018); --lr is then as in other training")
        ->check(CLI::IsMember({"folded", "simulated"}))
        ->capture_default_str();
    c.add_option("--freeze-norms", freeze_norms,
                 "Epochs after which simulated norms stand still, so that training sees what integers will; nine "
                 "tenths of --qat unless given, for they bear small learning rates only")
        ->check(NonNegativeNumber);
    c.add_flag("--fixed-scales", fixed_scales, "Train with --finetune in the scales that were calibrated");
    c.add_flag("--explain", explain,
               "Only say what each weight and activation does to the output when it alone is quantized, and the "
               "cheapest fix");
}

const std::vector<std::string>& LinearOptions::names() {
    static const std::vector<std::string> all{"--weight-bits", "--activation-bits", "--end-bits",   "--observer",
                                              "--calibration", "--per-tensor",      "--equalize",   "--correct-bias",
                                              "--adaround",    "--scale-rule",      "--fixed-scales", "--explain",
                                              "--norms",       "--freeze-norms"};
    return all;
}

compress::QuantizeOptions LinearOptions::make(int64_t bits, const std::vector<std::pair<std::string, int64_t>>& layers,
                                              uint64_t seed) const {
    compress::QuantizeOptions options{.weight_bits = weight_bits ? weight_bits : static_cast<int>(bits),
                                      .activation_bits = activation_bits,
                                      .end_bits = end_bits,
                                      .per_channel = !per_tensor,
                                      .observer = compress::observer_of(observer),
                                      .rule = scale_rule == "pact" ? ops::ScaleRule::pact : ops::ScaleRule::lsq,
                                      .norms = norms == "simulated" ? compress::Norms::simulated
                                                                    : compress::Norms::folded,
                                      .equalize = equalize,
                                      .correct_bias = correct_bias};
    for (const auto& [name, own] : layers) options.layers.emplace_back(name, static_cast<int>(own));
    for (const auto& [name, own] : options.layers) integer_range(own, true);
    integer_range(options.weight_bits, true);
    if (adaround > 0) options.adaround = compress::AdaRoundOptions{.iterations = adaround, .seed = seed};
    return options;
}

std::unique_ptr<nn::Model> quantize_linear(const LinearOptions& o, compress::QuantizeOptions options, nn::Model& model,
                                           const data::Dataset& train) {
    const data::Dataset images = train.sample(o.images);
    std::optional<Progress> progress;
    if (options.adaround)
        options.adaround->go_on = [&](int64_t done, int64_t total) {
            if (!progress) progress.emplace("adaround", total);
            return progress->update(done), true;
        };
    auto [quantized, report] = compress::prepare_quantization(model, images, options);
    progress.reset();
    print(report);
    if (o.fixed_scales) quantized->freeze("*scale");
    return std::move(quantized);
}

std::unique_ptr<nn::Model> in_8_bits(const LinearOptions& o, compress::QuantizeOptions options, nn::Model& model,
                                     const data::Dataset& train) {
    options.weight_bits = options.end_bits = 8;
    options.norms = compress::Norms::folded;
    options.adaround = {};
    options.correct_bias = false;
    return compress::prepare_quantization(model, train.sample(o.images), options).model;
}

std::vector<std::string> quantized_weights(nn::Module& prepared) {
    std::vector<std::string> names;
    for (const auto& [name, parameter] : prepared.named_parameters())
        if (parameter->find_transform<compress::FakeQuantize>()) names.push_back(name);
    return names;
}

compress::FewBits few_bits_of(const compress::QuantizeOptions& options) {
    return options.per_channel ? compress::FewBits::channel_scales : compress::FewBits::one_scale;
}

void explain_linear(const LinearOptions& o, const compress::QuantizeOptions& options, nn::Model& model,
                    const data::Dataset& train) {
    print(compress::explain_quantization(model, train.sample(o.images), options));
}

void write_program(const CompressionOptions& o, nn::Model& quantized, const TrainingData& data) {
    std::shared_ptr<const compress::IntegerProgram> program;
    try {
        program = std::make_shared<const compress::IntegerProgram>(compress::lower_to_integer(quantized));
    } catch (const Error& error) {
        std::printf("no integer program: %s\n", error.what());
        return;
    }
    const std::string file = o.out / "quantized-int8.safetensors";
    compress::save(*program, file);
    const auto model = compress::as_model(program);
    std::printf("as integers: validation %.2f%%", accuracy(*model, data.validation, o));
    if (data.test) std::printf(", test %.2f%%", accuracy(*model, *data.test, o));
    std::printf(", %s bytes of activations for an image, %s bytes in %s\n",
                with_commas(program->memory_plan().total).c_str(),
                with_commas(static_cast<int64_t>(std::filesystem::file_size(file))).c_str(), file.c_str());
}

}  // namespace lathe::tools
