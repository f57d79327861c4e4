#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "lathe/compress/budget/allocate.h"
#include "lathe/tools/compression.h"

namespace lathe::tools {

// What `lathe quantize` takes to choose the bits of each layer itself, and its zeros.
struct BudgetOptions {
    double size = 0, bit_operations = 0, latency = 0;  // shares of the given model's; at most one
    std::vector<int> widths{2, 3, 4, 6, 8};
    std::vector<double> sparsities{};  // empty: no zeros
    int64_t images = 2000;

    bool given() const { return size > 0 || bit_operations > 0 || latency > 0; }
    void add_to(CLI::App& command);
    // Error: several targets, bits given as well, options of a target without one, what the method does not have.
    void check_use(const CLI::App& command, const std::string& method) const;
    compress::ScanOptions scan(compress::FewBits few_bits) const;  // of the settings to choose from
};

// The bits, and with sparsities the zeros, that meet the target, and the loss to expect of them: from a scan of
// `model`, which is the given one (with codebooks), or that one in 8 bits. `given` is the size of the given one. Says
// what it chose.
struct ChosenBits {
    compress::Allocation allocation;
    double loss;
};
ChosenBits choose_bits(const BudgetOptions& budget, const CompressionOptions& o, nn::Model& model,
                       const data::Dataset& held_out, const compress::SizeReport::Entry& given,
                       const compress::ScanOptions& scan);

// Gives both networks, of the same weights by name, the masks of these sparsities, by the magnitudes of the first.
void mask_alike(const compress::Allocation& chosen, nn::Module& scanned, nn::Module& model);

}  // namespace lathe::tools
