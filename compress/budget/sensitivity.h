#pragma once
#include <functional>
#include <string>
#include <vector>

#include "lathe/compress/weights/prune.h"

namespace lathe::compress {

constexpr int kFloatBits = 32;

// What weights of fewer bits are: values of a codebook (quantize_kmeans), or integers times a scale for each output
// channel or for all of the weight (weight_grid).
enum class FewBits { codebook, channel_scales, one_scale };

// How well a model does with one layer pruned, quantized or both, for every layer and several sparsities and widths.
struct Sensitivity {
    struct Point {
        double sparsity = 0;     // asked for
        int bits = kFloatBits;   // of a weight
        double accuracy = 0;  // percent
        double loss = 0;      // mean cross entropy
    };
    struct Layer {
        std::string name;
        int64_t weights = 0;
        std::vector<Point> points;
    };
    Point dense;  // of the model as it was
    std::vector<Layer> layers;
    int64_t images = 0;
    std::string data;  // what the images were
    std::vector<std::string> passed_over{};  // layers that the pattern does not fit (WeightPruner::passed_over)
    Pattern pattern{};
    FewBits few_bits = FewBits::codebook;

    bool has_bits() const;        // whether some point is not of kFloatBits
    bool has_sparsities() const;  // or not of sparsity 0
    std::string str() const;      // a table of accuracies, a layer a line
    // layer,weights,sparsity,bits,accuracy,loss; the first line after the names is the dense model
    std::string csv() const;
    std::string json() const;
};
Sensitivity parse_sensitivity(const std::string& json);  // Error: not what json() gives

struct ScanOptions {
    std::vector<double> sparsities{0.4, 0.5, 0.6, 0.7, 0.8, 0.9};
    // Widths at which each sparsity is tried; empty: the weights stay as they are. kFloatBits may be among them.
    std::vector<int> bits{};
    FewBits few_bits = FewBits::codebook;
    Pattern pattern{};
    std::vector<std::string> only{}, skip{};  // as in WeightPruneOptions
    WeightImportanceOptions importance{};
    int64_t images = 2000;  // drawn at random; 0: all
    uint64_t seed = 0;      // of which
    int64_t batch = 128;
    int workers = 1;
    // Where results are kept: a scan of the same weights, images and options is read from there instead. Empty:
    // nowhere.
    std::string cache{};
    // Told how many of all points are through; false: an Error
    std::function<bool(int64_t done, int64_t total)> go_on{};
};

// Error, which can be known without the model: no sparsity or one outside [0, 1), widths out of range (codebooks: 1 to
// 8 or kFloatBits, scales: 2 to 8).
void check_settings(const ScanOptions& options);

// Prunes or quantizes one layer at a time, without training, and puts it back. Use images that neither chose nor
// fine-tune the model: a held-out part of the training set, not the test set. Points of one layer share the work of the
// layers before it. A quantizer that a layer has gives way to the one tried, so a network of prepare_quantization is
// seen with its activations in integers. Error: as check_settings and prune_weights, a weight that is quantized
// otherwise, or a cache that cannot be written.
Sensitivity scan_sensitivity(nn::Module& module, const data::Dataset& dataset, const ScanOptions& options = {});

}  // namespace lathe::compress
