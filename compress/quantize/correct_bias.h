#pragma once
#include <string>
#include <vector>

#include "lathe/nn/graph_module.h"

namespace lathe::compress {

struct BiasReport {
    int64_t layers = 0;
    double before = 0, after = 0;  // how far means of channels are off, in their deviations; of all layers the mean
    std::vector<std::string> without{};  // layers that have no bias: left as they are

    std::string str() const;
};

// Bias correction (Nagel et al. 2019, arXiv 1906.04721, section 4.2, with images): rounding weights moves the mean of
// what a layer gives, channel by channel. Layer after layer, each behind those corrected before it, the bias takes up
// the difference to what the network in floating point has there.
//
// `quantized` has the layers of the graph under the same names (prepare.h); `weights` are values of the graph's nodes
// that are no activations, in floating point.
BiasReport correct_bias(const Graph& graph, const std::vector<Tensor>& weights, nn::GraphModule& quantized,
                        const Tensor& x);

}  // namespace lathe::compress
