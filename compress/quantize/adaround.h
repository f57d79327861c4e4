#pragma once
#include <functional>
#include <string>
#include <vector>

#include "lathe/nn/graph_module.h"

namespace lathe::compress {

struct AdaRoundOptions {
    int64_t iterations = 500;  // for each layer
    int64_t batch = 32;        // images of an iteration
    double lr = 0.01;          // of adam
    double regularization = 1;  // what an undecided weight costs, in shares of the error, one for each weight
    uint64_t seed = 0;         // of which images
    std::function<bool(int64_t done, int64_t total)> go_on{};  // asked after each layer; false ends it there
};

struct AdaRoundReport {
    struct Layer {
        std::string name;
        double before = 0, after = 0;  // mean squared error of what the layer gives, against floating point
        int64_t weights = 0, changed = 0;  // those that are not rounded to the nearest any more
    };
    std::vector<Layer> layers;
    std::string str() const;
};

// Adaptive rounding (Nagel et al. 2020, "Up or down? Adaptive rounding for post-training quantization", arXiv
// 2004.10568): rounding each weight to the nearest is not what changes a layer's output least. Layer after layer, it is
// learned for each weight whether to go up or down: a variable v per weight moves h(v) = clip(1.2 sigmoid(v) - 0.1, 0,
// 1), what is added to floor(w / scale), to lessen the squared error of the layer's output behind the layers rounded
// before it, while a regulariser drives h to 0 or 1. The dense weight then is the integer chosen, times the scale, so
// that the quantizer stays as it is.
//
// `graph`, `weights`, `quantized` and `x` as for correct_bias. Scales do not change.
AdaRoundReport adaround(const Graph& graph, const std::vector<Tensor>& weights, nn::GraphModule& quantized,
                        const Tensor& x, const AdaRoundOptions& options = {});

}  // namespace lathe::compress
