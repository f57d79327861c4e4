#include <cmath>
#include <cstdio>
#include <optional>

#include "lathe/compress/quantize/codebook.h"
#include "lathe/compress/quantize/coding.h"
#include "lathe/compress/quantize/freeze_norms.h"
#include "lathe/compress/quantize/simulate_norms.h"
#include "lathe/core/print.h"
#include "lathe/nas/elastic/compressed_subnet.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/compression.h"
#include "lathe/tools/quantize_budget.h"
#include "lathe/tools/quantize_linear.h"

namespace lathe::tools {

namespace {

struct QuantizeOptions : CompressionOptions {
    std::string method = "kmeans", init = "exact", gradient = "mean", coding = "packed";
    int64_t bits = 0;  // 0: as many as are usual for the method
    std::vector<std::string> layers, skip;
    LinearOptions linear;
    BudgetOptions budget;
};

// The weights with bits of their own, by name.
std::vector<std::pair<std::string, int64_t>> layer_bits(const QuantizeOptions& o) {
    std::vector<std::pair<std::string, int64_t>> all;
    for (const std::string& layer : o.layers) {
        const auto [name, bits] = parse_layer(layer, "--layer-bits", "NAME=BITS such as conv1=8");
        check(bits == std::floor(bits) && std::abs(bits) < 100, "--layer-bits: expected a whole number of bits, got '",
              layer, "'");
        all.emplace_back(name, static_cast<int64_t>(bits));
    }
    return all;
}

// The codebooks of method kmeans.
compress::CodebookOptions codebook_options(const QuantizeOptions& o) {
    return {.bits = o.bits ? o.bits : 4,
            .layers = layer_bits(o),
            .skip = o.skip,
            .init = compress::kmeans_init_of(o.init),
            .seed = o.training.fit.seed,
            .gradient = nn::Codebook::gradient_of(o.gradient)};
}

// What sgd takes with method linear and folded norms unless told otherwise: without its norms a network of 4-bit
// weights fell apart at 0.01 (resnet20 on CIFAR-10: 65 % before, 23 % after an epoch) and got better at 0.001.
constexpr double kLinearLr = 0.001;

// Options of one method beside the other are a mistake. Not asked of a run that goes on: it gets all its settings back.
void check_method(const CLI::App& command, const QuantizeOptions& o) {
    const bool linear = o.method == "linear";
    for (const std::string& name : linear ? std::vector<std::string>{"--init", "--gradient", "--skip"}
                                          : LinearOptions::names())
        check(command.get_option(name)->count() == 0, "quantize: ", name, " is for method ",
              linear ? "kmeans" : "linear", "; got method ", o.method);
    o.budget.check_use(command, o.method);
}

// Chooses each layer's bits, and zeros, of which the model gets the masks. The loss to expect of it.
double choose(const QuantizeOptions& o, nn::Model& model, const TrainingData& data, const data::Dataset& held_out,
              const Before& before, compress::CodebookOptions& codebooks, compress::QuantizeOptions& grids) {
    const bool linear = o.method == "linear";
    compress::ScanOptions scan = o.budget.scan(linear ? few_bits_of(grids) : compress::FewBits::codebook);
    scan.skip = o.skip;
    std::unique_ptr<nn::Model> prepared;
    if (linear) {
        prepared = in_8_bits(o.linear, grids, model, data.plain);
        scan.only = quantized_weights(*prepared);
    }
    nn::Model& scanned = prepared ? *prepared : model;
    const auto [chosen, loss] = choose_bits(o.budget, o, scanned, held_out, before.size, scan);
    if (!o.budget.sparsities.empty()) mask_alike(chosen, scanned, model);
    grids.layers = chosen.bits();
    for (const auto& [name, bits] : chosen.bits())
        if (bits == compress::kFloatBits) codebooks.skip.push_back(name);
        else codebooks.layers.emplace_back(name, bits);
    return loss;
}

void quantize(CLI::App& command, QuantizeOptions& o) {
    if (!o.out.resume) check_method(command, o);
    o.enter(command);
    const bool linear = o.method == "linear", huffman = o.coding == "huffman";
    const bool without_norms = linear && o.linear.norms == "folded";
    if (without_norms && o.training.lr == 0 && o.training.optimizer == "sgd") o.training.lr = kLinearLr;
    check(o.finetune > 0 || o.linear.norms == "folded",
          "quantize: --norms simulated is for training; expected --qat EPOCHS beside it");
    check(o.linear.norms == "simulated" || !o.linear.freeze_norms,
          "quantize: --freeze-norms is for simulated norms; expected --norms simulated beside it");
    compress::CodebookOptions codebooks = codebook_options(o);
    compress::QuantizeOptions grids =
        linear ? o.linear.make(o.bits ? o.bits : 8, layer_bits(o), o.training.fit.seed) : compress::QuantizeOptions{};
    auto [model, data] = open(o, "quantize");
    if (linear && !o.bits && !o.linear.weight_bits && o.layers.empty() && !o.budget.given())
        grids.layers = nas::bits_of(*model);
    const bool as_arch_says = !grids.layers.empty() && o.layers.empty();
    if (o.linear.explain) return explain_linear(o.linear, grids, *model, data.plain);
    o.out.claim(command);
    std::printf("%s%s", data.describe().c_str(),
                as_arch_says ? "bits of each block as its arch says\n" : "");
    std::fflush(stdout);
    Before before = measure("quantize", "given", "quantized", *model, data.validation, o);
    std::optional<data::Dataset> held_out;
    double expected = 0;
    if (o.budget.given()) {
        held_out = hold_out(data, o.budget.images, o.training.fit.seed, "quantize");
        expected = choose(o, *model, data, *held_out, before, codebooks, grids);
    }
    if (linear) model = quantize_linear(o.linear, grids, *model, data.plain);
    else print(compress::quantize_kmeans(*model, codebooks));
    if (held_out)
        std::printf("loss on the held-out images: %.4f; the scan had %.4f expected\n",
                    optim::evaluate(*model, *held_out, {.workers = o.data.workers}).loss, expected);
    before.now = accuracy(*model, data.validation, o);
    const bool simulated = grids.norms == compress::Norms::simulated;
    std::optional<compress::FreezeNorms> freeze;
    if (simulated) {
        freeze.emplace(*model, o.linear.freeze_norms);
        std::printf("norms simulated, frozen %s\n", freeze->when().c_str());
    }
    if (!train(o, *model, data, before, {.hook = freeze ? &*freeze : nullptr})) return;
    if (simulated) model = compress::fold_simulated_norms(*model);
    write(o, *model, data, before, huffman ? nn::Weights::huffman : nn::Weights::encoded);
    if (huffman || !linear) print(compress::measure_coding(*model));
    if (linear) write_program(o, *model, data);
}

}  // namespace

void add_quantize(CLI::App& app) {
    auto o = std::make_shared<QuantizeOptions>();
    CLI::App& c =
        *app.add_subcommand("quantize", "Store the weights of a trained model in few bits, and train them so");
    o->add_model_to(c);
    c.add_option("--method", o->method,
                 "kmeans: the weights of a layer share 2^B values, which are trained on; a file holds their indices. "
                 "linear: weights and activations are a scale times an integer, as integer arithmetic has them; norms "
                 "are folded, so that --lr is 0.001 unless given, or simulated (--norms)")
        ->check(CLI::IsMember({"kmeans", "linear"}))
        ->capture_default_str();
    c.add_option("--bits", o->bits, "Of a weight; 4 unless given, with method linear 8")->check(CLI::Range(1, 8));
    c.add_option("--layer-bits", o->layers,
                 "NAME=BITS,… for some layers; * stands for anything; the last one that matches counts")
        ->delimiter(',')
        ->expected(1, 1000);
    c.add_option("--skip", o->skip, "Leave layers of these names or below them as they are")
        ->delimiter(',')
        ->expected(1, 1000);
    c.add_option("--init", o->init,
                 "The optimum (exact), or where Lloyd's iterations begin: k-means++, linear, density, random")
        ->check(CLI::IsMember(compress::kmeans_init_names()))
        ->capture_default_str();
    c.add_option(
         "--gradient", o->gradient,
         "What a shared value gets of its weights' gradients: their mean, as in the course lab, or their sum, as "
         "in Deep Compression (with a smaller --lr)")
        ->check(CLI::IsMember({"mean", "sum"}))
        ->capture_default_str();
    c.add_option("--coding", o->coding,
                 "Of indices, and of the run lengths of a pruned model's zeros, in the file: packed, or huffman where "
                 "that is smaller, in quantized.safetensors.gz")
        ->check(CLI::IsMember({"packed", "huffman"}))
        ->capture_default_str();
    o->linear.add_to(c);
    o->budget.add_to(c);
    o->add_training_to(c, "quantized.safetensors", "--finetune,--qat");
    c.callback([&c, o] { quantize(c, *o); });
}

}  // namespace lathe::tools
