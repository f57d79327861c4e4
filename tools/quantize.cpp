#include <cmath>
#include <cstdio>

#include "lathe/compress/quantize/codebook.h"
#include "lathe/compress/quantize/coding.h"
#include "lathe/core/print.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/compression.h"

namespace lathe::tools {

namespace {

struct QuantizeOptions : CompressionOptions {
    std::string method = "kmeans", init = "exact", gradient = "mean", coding = "packed";
    int64_t bits = 4;
    std::vector<std::string> layers, skip;
};

// The codebooks of method kmeans.
compress::CodebookOptions codebook_options(const QuantizeOptions& o) {
    compress::CodebookOptions options{.bits = o.bits,
                                      .skip = o.skip,
                                      .init = compress::kmeans_init_of(o.init),
                                      .seed = o.training.fit.seed,
                                      .gradient = nn::Codebook::gradient_of(o.gradient)};
    for (const std::string& layer : o.layers) {
        const auto [name, bits] = parse_layer(layer, "--layer-bits", "NAME=BITS such as conv1=8");
        check(bits == std::floor(bits) && std::abs(bits) < 100, "--layer-bits: expected a whole number of bits, got '",
              layer, "'");
        options.layers.emplace_back(name, static_cast<int64_t>(bits));
    }
    return options;
}

void quantize(CLI::App& command, QuantizeOptions& o) {
    o.enter(command);
    const compress::CodebookOptions options = codebook_options(o);
    auto [model, data] = open(o, "quantize");
    o.out.claim(command);
    std::printf("%s", data.describe().c_str());
    Before before = measure("quantize", "given", "quantized", *model, data.validation, o);
    print(compress::quantize_kmeans(*model, options));
    before.now = accuracy(*model, data.validation, o);
    const bool huffman = o.coding == "huffman";
    if (finish(o, *model, data, before, huffman ? nn::Weights::huffman : nn::Weights::encoded))
        print(compress::measure_coding(*model));
}

}  // namespace

void add_quantize(CLI::App& app) {
    auto o = std::make_shared<QuantizeOptions>();
    CLI::App& c =
        *app.add_subcommand("quantize", "Store the weights of a trained model in few bits, and train them so");
    o->add_model_to(c);
    c.add_option("--method", o->method,
                 "kmeans: the weights of a layer share 2^B values, which are trained on; a file holds their indices")
        ->check(CLI::IsMember({"kmeans"}))
        ->capture_default_str();
    c.add_option("--bits", o->bits, "Of a weight")->check(CLI::Range(1, 8))->capture_default_str();
    c.add_option("--layer-bits", o->layers,
                 "NAME=BITS for some layers; * stands for anything; the last one that matches counts")
        ->expected(1, 1000);
    c.add_option("--skip", o->skip, "Leave layers of this name or below it as they are")->expected(1, 1000);
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
                 "that is smaller")
        ->check(CLI::IsMember({"packed", "huffman"}))
        ->capture_default_str();
    o->add_training_to(c, "quantized.safetensors");
    c.callback([&c, o] { quantize(c, *o); });
}

}  // namespace lathe::tools
