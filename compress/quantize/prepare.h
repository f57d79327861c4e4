#pragma once
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lathe/compress/quantize/adaround.h"
#include "lathe/compress/quantize/calibrate.h"
#include "lathe/compress/quantize/correct_bias.h"

namespace lathe::compress {

// What becomes of batch norms: folded into the layers before them for good, or simulated as such while they train on
// (simulate_norms.h).
enum class Norms { folded, simulated };

struct QuantizeOptions {
    int weight_bits = 8, activation_bits = 8;
    int end_bits = 8;  // what the first and the last layer's weights, the input and the output have at least
    // Other bits of weights by name: a pattern as in Module::named_parameters; later ones win.
    std::vector<std::pair<std::string, int>> layers{};
    bool per_channel = true;  // a scale for each output channel of a weight
    Observer observer = Observer::min_max;
    ops::ScaleRule rule = ops::ScaleRule::lsq;  // how scales of activations learn; pact behind relus
    Norms norms = Norms::folded;
    bool equalize = false;      // equalize.h, before all else
    std::optional<AdaRoundOptions> adaround{};  // adaround.h, when weights have their scales
    bool correct_bias = false;  // correct_bias.h, after all else
    int64_t batch = 64;         // images at a time
};

// What was decided.
struct QuantizeReport {
    struct Weight {
        std::string name;
        int bits = 8;
        int64_t elements = 0;
        double snr = 0;  // decibels
    };
    struct Activation {
        std::string name;  // of the first place that has the scale
        int places = 1;
        int bits = 8;
        Range range{};
        int64_t zero_point = 0;
        Observer observer = Observer::min_max;
        double snr = 0;
    };
    std::vector<Weight> weights;
    std::vector<Activation> activations;
    std::vector<std::string> in_float{};  // layers whose weights are no parameters, and norms that could not be folded
    int64_t images = 0;
    std::optional<EqualizeReport> equalized{};
    std::optional<AdaRoundReport> rounded{};
    std::optional<BiasReport> corrected{};

    std::string str() const;
};

struct Quantized {
    std::unique_ptr<nn::Model> model;
    QuantizeReport report;
};

// The network as integers will run it: its norms are folded (fold_norms.h), its layers' weights have a FakeQuantize
// behind their masks, and each value that an integer program stores (edges.h) goes through one op fake_quantize, whose
// scale and zero point come from what the images make of it. Weights of 8 bits keep the lab's range, those of fewer the
// one of least squared error.
//
// The result is a network like any other and trains with the ordinary Trainer: that is quantization-aware training.
// Without norms it wants small steps: a tenth of what fine-tuning with them takes. With Norms::simulated each folded
// norm stays beside its layer, so that it computes the same and trains with batch statistics until freeze_norms.h stops
// that; fold_simulated_norms then gives what Norms::folded is.
// Scales are parameters ("layer1.conv1.weight.scale", of activations "layer1.bn1.edge_scale"), zero points buffers.
// `model` stays as it is.
//     auto [quantized, report] = compress::prepare_quantization(model, train.sample(512));
// Error: no images, bits out of range, a weight that has a quantizer or a codebook, values that are not finite.
Quantized prepare_quantization(nn::Model& model, const data::Dataset& images, const QuantizeOptions& options = {});

// What the options say of one place: a group of edges, the weight at a node of the graph. `model` knows the names.
int activation_bits(const QuantizeOptions& options, const Calibration& calibration, int group);
int weight_bits(const QuantizeOptions& options, const Calibration& calibration, int node, nn::Module& model);
Grid weight_grid(const Tensor& weight, int bits, bool per_channel);

// The scale and zero point that a node fake_quantize of a graph whose leaves have values (nn::trace) uses.
Grid grid_of(const Graph& graph, const GraphNode& fake_quantize);

}  // namespace lathe::compress
