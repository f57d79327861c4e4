#include "lathe/compress/quantize/coding.h"

#include "lathe/core/text_table.h"
#include "lathe/nn/files/encode.h"

namespace lathe::compress {

namespace {

void add(CodingReport::Layer& to, const CodingReport::Layer& layer) {
    to.weights += layer.weights;
    to.nonzeros += layer.nonzeros;
    to.dense_bytes += layer.dense_bytes;
    to.packed_bytes += layer.packed_bytes;
    to.huffman_bytes += layer.huffman_bytes;
    to.bound_bytes += layer.bound_bytes;
}

CodingReport::Layer measure(const std::string& name, nn::Parameter& parameter) {
    const int64_t weights = parameter.value().numel(), dense = 4 * weights;
    CodingReport::Layer layer{.name = name,
                              .weights = weights,
                              .nonzeros = parameter.effective().value().nonzeros(),
                              .dense_bytes = dense,
                              .packed_bytes = dense,
                              .huffman_bytes = dense,
                              .bound_bytes = static_cast<double>(dense)};
    if (parameter.transforms().empty()) return layer;
    int64_t own = 0;
    parameter.for_each([&](const std::string&, const nn::Parameter& each) {
        if (&each != &parameter) own += static_cast<int64_t>(each.value().bytes());
    });
    const nn::Encoded huffman = nn::encode(parameter, nn::Coding::huffman);
    layer.packed_bytes = nn::encode(parameter).bytes() + own;
    layer.huffman_bytes = huffman.bytes() + own;
    layer.bound_bytes = static_cast<double>(layer.huffman_bytes) - huffman.excess;
    return layer;
}

}  // namespace

double CodingReport::Layer::ratio() const {
    return static_cast<double>(dense_bytes) / static_cast<double>(huffman_bytes);
}

CodingReport::Layer CodingReport::total() const {
    Layer total{.name = "total"};
    for (const Layer& layer : layers) add(total, layer);
    return total;
}

std::string CodingReport::str() const {
    TextTable table({"weight", "elements", "not zero", "32-bit bytes", "packed", "Huffman", "entropy bound",
                     "bits a weight", "ratio"});
    const auto row = [&](const Layer& layer) {
        const bool any = layer.weights > 0;
        table.add({layer.name, with_commas(layer.weights), with_commas(layer.nonzeros), with_commas(layer.dense_bytes),
                   with_commas(layer.packed_bytes), with_commas(layer.huffman_bytes),
                   with_commas(static_cast<int64_t>(layer.bound_bytes)),
                   any ? format("%.2f", 8.0 * static_cast<double>(layer.huffman_bytes) /
                                            static_cast<double>(layer.weights)) : "",
                   any ? format("%.1f", layer.ratio()) : ""});
    };
    for (const Layer& layer : layers) row(layer);
    table.add_rule();
    row(total());
    return table.str();
}

CodingReport measure_coding(nn::Module& module) {
    const NoGrad no_grad;
    CodingReport report;
    CodingReport::Layer others{.name = "other parameters"};
    for (const auto& [name, parameter] : module.named_parameters()) {
        if (parameter->owned()) continue;
        CodingReport::Layer layer = measure(name, *parameter);
        if (parameter->transforms().empty()) add(others, layer);
        else report.layers.push_back(layer);
    }
    if (others.weights > 0) report.layers.push_back(others);
    return report;
}

}  // namespace lathe::compress
