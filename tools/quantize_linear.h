#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lathe/compress/budget/sensitivity.h"
#include "lathe/compress/quantize/prepare.h"
#include "lathe/tools/compression.h"

namespace lathe::tools {

// What `lathe quantize --method linear` has beside the options of every method.
struct LinearOptions {
    int weight_bits = 0, activation_bits = 8, end_bits = 8;  // weight_bits 0: as --bits
    std::string observer = "min-max", scale_rule = "lsq", norms = "folded";
    std::optional<double> freeze_norms;  // epochs; none: as FreezeNorms has it
    bool per_tensor = false, equalize = false, correct_bias = false, fixed_scales = false, explain = false;
    int64_t adaround = 0, images = 512;

    void add_to(CLI::App& command);
    static const std::vector<std::string>& names();  // of these options
    // `bits` of weights, and those by name. Error: a number of bits that linear quantization does not have.
    compress::QuantizeOptions make(int64_t bits, const std::vector<std::pair<std::string, int64_t>>& layers,
                                   uint64_t seed) const;
};

// The model quantized with so many of the training images, not augmented, and ready to be trained; says how.
std::unique_ptr<nn::Model> quantize_linear(const LinearOptions& o, compress::QuantizeOptions options, nn::Model& model,
                                           const data::Dataset& train);
// The same in 8 bits, with nothing learned: what a scan of widths begins from. Its weights in integers, and how a scan
// tries other widths of them.
std::unique_ptr<nn::Model> in_8_bits(const LinearOptions& o, compress::QuantizeOptions options, nn::Model& model,
                                     const data::Dataset& train);
std::vector<std::string> quantized_weights(nn::Module& prepared);
compress::FewBits few_bits_of(const compress::QuantizeOptions& options);
// What each place does to the output.
void explain_linear(const LinearOptions& o, const compress::QuantizeOptions& options, nn::Model& model,
                    const data::Dataset& train);

// Writes the integer program of the quantized model to OUT/quantized-int8.safetensors and says how it does, or why
// there is none.
void write_program(const CompressionOptions& o, nn::Model& quantized, const TrainingData& data);

}  // namespace lathe::tools
