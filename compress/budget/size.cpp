#include "lathe/compress/budget/size.h"

#include <algorithm>
#include <cmath>

#include "lathe/core/graph/cost.h"
#include "lathe/core/text_table.h"

namespace lathe::compress {

namespace {

SizeReport::Entry dense_entry(const std::string& name, const Tensor& value) {
    const auto bytes = static_cast<int64_t>(value.bytes());
    return {.name = name,
            .elements = value.numel(),
            .nonzeros = is_float(value.dtype()) ? value.nonzeros() : value.numel(),
            .dense_bytes = bytes,
            .packed_bytes = bytes};
}

}  // namespace

SizeReport::Entry SizeReport::total() const {
    Entry total{.name = "total"};
    for (const Entry& entry : parameters) {
        total.elements += entry.elements;
        total.nonzeros += entry.nonzeros;
        total.dense_bytes += entry.dense_bytes;
        total.packed_bytes += entry.packed_bytes;
    }
    return total;
}

std::string SizeReport::Bits::str() const {
    if (least == 32) return "float";
    return least == most ? std::to_string(least) : format("%d-%d, mean %.1f", least, most, mean);
}

SizeReport::Bits SizeReport::weight_bits() const {
    Bits found{.most = 0};
    double bits = 0, count = 0;
    for (const Entry& entry : parameters) {
        if (entry.bits == 32) continue;
        found.least = std::min(found.least, entry.bits);
        found.most = std::max(found.most, entry.bits);
        count += static_cast<double>(entry.elements);
        bits += static_cast<double>(entry.elements) * entry.bits;
    }
    if (count == 0) return {};
    found.mean = bits / count;
    return found;
}

std::string SizeReport::str() const {
    TextTable table({"parameter", "weights", "not zero", "dense bytes", "packed bytes", "encoding"});
    const auto add = [&](const Entry& entry, const char* encoding) {
        table.add({entry.name, std::to_string(entry.elements), std::to_string(entry.nonzeros),
                   std::to_string(entry.dense_bytes), std::to_string(entry.packed_bytes), encoding});
    };
    for (const Entry& entry : parameters) add(entry, entry.encoding.c_str());
    table.add_rule();
    add(total(), "");
    return table.str();
}

SizeReport measure_size(nn::Module& module, nn::Coding coding) {
    const NoGrad no_grad;
    SizeReport report;
    for (const auto& [name, parameter] : module.named_parameters()) {
        SizeReport::Entry entry = dense_entry(name, parameter->effective().value());
        if (!parameter->transforms().empty()) {
            const nn::Encoded encoded = nn::encode(*parameter, coding);
            entry.packed_bytes = encoded.bytes();
            if (encoded.how.has("encoding")) entry.encoding = encoded.how.text("encoding");
            for (const auto& transform : parameter->transforms())
                if (transform->stage() == nn::WeightTransform::Stage::quantize)
                    entry.bits = static_cast<int>(transform->config().integer("bits"));
        }
        report.parameters.push_back(entry);
    }
    for (const auto& [name, buffer] : module.named_buffers()) report.buffers.push_back(dense_entry(name, *buffer));
    return report;
}

double index_bytes(double count, double sparsity) {
    const double kept = count * (1 - sparsity),
                 far = std::pow(sparsity, 255);  // the chance that a gap is longer than a byte
    return std::min(count / 8, kept * (1 + (far < 1 ? far / (1 - far) : 0)) + (count - kept) / 255 * far);
}

int64_t effective_macs(const Graph& graph, const GraphNode& node, const SizeReport& size) {
    const int64_t macs = lathe::macs(graph, node);
    const int weight = macs > 0 && node.inputs.size() > 1 ? node.inputs[1] : -1;
    if (weight < 0) return macs;
    for (const SizeReport::Entry& entry : size.parameters)
        if (entry.name == graph[weight].path) return macs / entry.elements * entry.nonzeros;
    return macs;
}

int64_t effective_macs(const Graph& graph, const SizeReport& size) {
    int64_t total = 0;
    for (const GraphNode& node : graph.nodes) total += effective_macs(graph, node, size);
    return total;
}

}  // namespace lathe::compress
