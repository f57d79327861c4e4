#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lathe/compress/quantize/kmeans.h"
#include "lathe/nn/codebook.h"
#include "lathe/nn/module.h"

namespace lathe::compress {

struct CodebookOptions {
    int64_t bits = 4;  // of an index, 1 to 8: a weight has one of 2^bits values
    // Other bits by name: a pattern as in Module::named_parameters ("conv1", "layer1.*.conv2"); later ones win.
    std::vector<std::pair<std::string, int64_t>> layers{};
    std::vector<std::string> only{};  // the parameters that count, as patterns; empty: all of two dimensions or more
    std::vector<std::string> skip{};  // of them, those left as they are
    KMeansInit init = KMeansInit::exact;
    uint64_t seed = 0;  // of init
    nn::Codebook::Gradient gradient = nn::Codebook::Gradient::mean;
};

// Which values stand for each layer's weights, and how well.
struct CodebookReport {
    struct Layer {
        std::string name;
        int64_t weights = 0, nonzeros = 0;  // those that a mask keeps
        int64_t bits = 0, values = 0;       // of the 2^bits, those that stand for some weight
        double sse = 0;                     // sum of squared errors
        double signal = 0;                  // sum of squared weights
        double snr() const;                 // of them, in decibels
    };
    std::vector<Layer> layers;

    std::string str() const;  // a table
};

// Gives every parameter that counts a codebook of its own, the centroids of k-means over its weights, and each weight
// the index of its cluster: with an ordinary Trainer the entries train from now on, and nn::save writes the indices
// (Weights::encoded). Masked weights stay zero and take no part; a parameter that has a codebook gets another one, of
// the values that it has now. Layers are worked on at the same time.
//
//     print(compress::quantize_kmeans(model, {.bits = 4, .layers = {{"conv1", 8}}}));
//
// Error: bits out of range, a pattern that no name matches (names the nearest), no parameter that counts, weights that
// are not finite, a parameter that is quantized otherwise. The module is then as it was.
CodebookReport quantize_kmeans(nn::Module& module, const CodebookOptions& options);

}  // namespace lathe::compress
