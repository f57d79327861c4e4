#pragma once
#include <optional>
#include <vector>

#include "lathe/compress/quantize/edges.h"
#include "lathe/compress/quantize/equalize.h"
#include "lathe/compress/quantize/observer.h"
#include "lathe/data/dataset.h"
#include "lathe/nn/model.h"

namespace lathe::compress {

// A network in floating point as it is about to be quantized, and what calibration images made of it.
struct Calibration {
    Graph graph;                           // without norms (fold_norms.h); parameters' nodes have their dense values
    std::vector<Edge> edges;               // where integers will be stored
    std::vector<Tensor> weights;           // of each node that is no activation: its value, masks applied
    std::vector<Observed> observed;        // of groups of edges
    std::optional<EqualizeReport> equalized;
    Tensor sample;                         // the first images, at most 128, for work on single places

    int groups() const { return static_cast<int>(observed.size()); }
    bool in_group(int group, int node) const;
    bool at_end(int group) const { return in_group(group, graph.input()) || in_group(group, graph.output); }
    // The parameters that layers multiply with, by name, each once, in order of execution: their nodes.
    std::vector<int> layer_weights() const;
};

// Error: no images, a weight with another transform than a mask, values that are not finite (names the layer).
Calibration calibrate(nn::Model& model, const data::Dataset& images, bool equalize, int64_t batch);

}  // namespace lathe::compress
