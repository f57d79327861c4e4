#include "lathe/tools/quantize_budget.h"

#include <algorithm>
#include <cstdio>

#include "lathe/compress/budget/latency.h"
#include "lathe/core/print.h"
#include "lathe/nn/mask.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/common_options.h"

namespace lathe::tools {

void BudgetOptions::add_to(CLI::App& c) {
    add_share(c, "--target-size", size,
              "Share of the given model's bytes that the parameters may take; chooses each layer's bits by a scan");
    add_share(c, "--target-bops", bit_operations,
              "Share of the bit operations (multiplications times the bits of both factors, 32 for a float) that may "
              "be left; likewise, with method linear");
    add_share(c, "--target-latency", latency,
              "Share of the time for one image that may be left, as measured here once; likewise");
    c.add_option("--widths", widths, "The bits to choose from; 32 leaves a layer in floating point (kmeans)")
        ->delimiter(',')
        ->expected(1, 1000)
        ->capture_default_str();
    c.add_option("--sparsities", sparsities,
                 "Chooses each layer's share of zeros as well, up to the greatest of these: 0,0.5,0.7,…")
        ->delimiter(',')
        ->expected(1, 1000);
    c.add_option("--scan-images", images, "Held out of the training images to choose by")
        ->check(PositiveNumber)
        ->capture_default_str();
}

void BudgetOptions::check_use(const CLI::App& command, const std::string& method) const {
    const auto count = [&](const char* name) { return command.get_option(name)->count(); };
    check((size > 0) + (bit_operations > 0) + (latency > 0) <= 1,
          "quantize: expected one target of --target-size, --target-bops and --target-latency, got more");
    for (const char* name : {"--bits", "--weight-bits", "--layer-bits", "--explain"})
        check(!given() || count(name) == 0, "quantize: a target chooses the bits itself; expected no ", name,
              " beside it");
    for (const char* name : {"--widths", "--sparsities", "--scan-images"})
        check(given() || count(name) == 0, "quantize: ", name, " is for a target; expected --target-size, "
              "--target-bops or --target-latency");
    check(method == "linear" || size > 0 || !given(),
          "quantize: a codebook's values are multiplied as floats; expected --target-size or --method linear");
    check(latency == 0 || sparsities.empty(),
          "quantize: zeros take as long as other integers; expected no --sparsities beside --target-latency");
    if (!given()) return;
    const bool linear = method == "linear";
    compress::check_settings(scan(linear ? compress::FewBits::channel_scales : compress::FewBits::codebook));
}

compress::ScanOptions BudgetOptions::scan(compress::FewBits few_bits) const {
    return {.sparsities = sparsities.empty() ? std::vector<double>{0} : sparsities,
            .bits = widths,
            .few_bits = few_bits};
}

ChosenBits choose_bits(const BudgetOptions& budget, const CompressionOptions& o, nn::Model& model,
                       const data::Dataset& held_out, const compress::SizeReport::Entry& given,
                       const compress::ScanOptions& scan) {
    const compress::Sensitivity sensitivity = scan_held_out(o, model, held_out, scan);
    compress::LatencyTable latency(o.out / kLatencyFile);
    compress::CostModel costs =
        budget.size > 0             ? compress::size_cost(model, sensitivity)
        : budget.bit_operations > 0 ? compress::bit_operations_cost(model, model.example(), sensitivity)
                                    : compress::integer_latency_cost(model, model.example(), sensitivity, latency);
    if (budget.size > 0) costs.dense = static_cast<double>(given.dense_bytes);
    const char* unit = budget.size > 0             ? "bytes"
                       : budget.bit_operations > 0 ? "bit operations"
                                                   : "nanoseconds in floating point, one image";
    const double share = std::max({budget.size, budget.bit_operations, budget.latency});  // the others are 0
    compress::Allocation chosen = compress::allocate(sensitivity, costs, share * costs.dense);
    std::printf("bits for %.4g of the given %s, from %lld held-out images:\n%s\n", share, unit,
                static_cast<long long>(held_out.size()), chosen.str().c_str());
    const double loss = sensitivity.dense.loss + chosen.loss;
    return {std::move(chosen), loss};
}

void mask_alike(const compress::Allocation& chosen, nn::Module& scanned, nn::Module& model) {
    compress::WeightPruneOptions options{.layers = chosen.sparsities()};
    for (const auto& [name, sparsity] : options.layers) options.only.push_back(name);
    print(compress::prune_weights(scanned, options));
    const auto parameters = nn::by_name(model.named_parameters());
    for (const std::string& name : options.only)
        if (const auto* mask = scanned.named_parameters(name).front().second->find_transform<nn::Mask>())
            nn::set_mask(*parameters.at(name), mask->mask(), mask->pattern());
}

}  // namespace lathe::tools
