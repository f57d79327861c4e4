#include "lathe/compress/quantize/codebook.h"

#include "lathe/compress/chosen.h"
#include "lathe/compress/quantize/linear.h"
#include "lathe/core/parallel.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/mask.h"

namespace lathe::compress {

namespace {

struct Target {
    std::string name;
    nn::Parameter* parameter;
    int64_t bits;
    Tensor weights{}, keep{};  // as they are now
    Clusters clusters{};
};

void check_bits(int64_t bits, const std::string& of = {}) {
    check(bits >= 1 && bits <= 8, "quantize: expected 1 to 8 bits", of.empty() ? "" : " for '" + of + "'", ", got ",
          bits);
}

// All that can be refused is refused here.
std::vector<Target> targets_of(nn::Module& module, const CodebookOptions& o) {
    check_bits(o.bits);
    std::vector<Target> targets;
    for (const auto& [name, parameter] : chosen_weights(module, o.only, o.skip))
        targets.push_back({name, parameter, o.bits});
    check(!targets.empty(), "quantize: expected parameters of two dimensions or more, got none");
    for (const auto& [pattern, bits] : o.layers) {
        check_bits(bits, pattern);
        for (const auto& [name, parameter] : module.named_parameters(pattern))
            for (Target& target : targets)
                if (target.parameter == parameter) target.bits = bits;
    }
    for (Target& target : targets) {
        const auto* codebook = target.parameter->find_transform<nn::Codebook>();
        for (const auto& transform : target.parameter->transforms())
            check(transform.get() == codebook || transform->stage() != nn::WeightTransform::Stage::quantize,
                  "quantize: expected '", target.name, "' without a quantizer, got one with '", transform->kind(), "'");
        target.weights = codebook ? codebook->values() : target.parameter->value();
        if (const auto* mask = target.parameter->find_transform<nn::Mask>()) target.keep = mask->mask();
    }
    return targets;
}

Tensor indices_of(const Target& target) {
    Tensor indices(target.weights.shape(), DType::u8);
    const float* w = target.weights.data<float>();
    uint8_t* to = indices.mutable_data<uint8_t>();
    for (int64_t i = 0; i < indices.numel(); ++i) to[i] = static_cast<uint8_t>(target.clusters.of(w[i]));
    return indices;
}

// The centroids; entries beyond them are 0 and nothing's.
Tensor entries_of(const Target& target) {
    Tensor entries = Tensor::zeros({int64_t{1} << target.bits});
    std::copy(target.clusters.centroids.begin(), target.clusters.centroids.end(), entries.mutable_data<float>());
    return entries;
}

CodebookReport::Layer row_of(const Target& target) {
    CodebookReport::Layer row{.name = target.name,
                              .weights = target.weights.numel(),
                              .nonzeros = target.keep ? target.keep.nonzeros() : target.weights.numel(),
                              .bits = target.bits,
                              .values = static_cast<int64_t>(target.clusters.centroids.size()),
                              .sse = target.clusters.sse};
    const float* w = target.weights.data<float>();
    const uint8_t* keep = target.keep ? target.keep.data<uint8_t>() : nullptr;
    for (int64_t i = 0; i < row.weights; ++i)
        if (!keep || keep[i]) row.signal += static_cast<double>(w[i]) * w[i];
    return row;
}

}  // namespace

double CodebookReport::Layer::snr() const { return decibels(signal, sse); }

std::string CodebookReport::str() const {
    TextTable table({"layer", "weights", "not zero", "bits", "values", "error", "signal to noise"});
    for (const Layer& layer : layers)
        table.add({layer.name, std::to_string(layer.weights), std::to_string(layer.nonzeros),
                   std::to_string(layer.bits), std::to_string(layer.values), format("%.4g", layer.sse),
                   layer.sse > 0 ? format("%.1f dB", layer.snr()) : ""});
    return table.str();
}

CodebookReport quantize_kmeans(nn::Module& module, const CodebookOptions& o) {
    std::vector<Target> targets = targets_of(module, o);
    parallel_tasks(static_cast<int64_t>(targets.size()), [&](int64_t task) {
        Target& target = targets[static_cast<size_t>(task)];
        const PathScope scope(target.name);
        target.clusters = kmeans(target.weights,
                                 {.clusters = int64_t{1} << target.bits, .init = o.init, .seed = o.seed}, target.keep);
    });
    CodebookReport report;
    for (const Target& target : targets) {
        report.layers.push_back(row_of(target));
        nn::set_codebook(*target.parameter, indices_of(target), entries_of(target), o.gradient);
    }
    return report;
}

}  // namespace lathe::compress
