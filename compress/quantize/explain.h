#pragma once
#include <string>
#include <vector>

#include "lathe/compress/quantize/prepare.h"

namespace lathe::compress {

// Why accuracy drops: what quantizing each place, alone, does there and at the network's output.
struct Explanation {
    struct Place {
        std::string name;        // of a weight, or of an activation's first place
        bool is_weight = false;
        int bits = 8;
        double snr = 0;          // of the values themselves, decibels
        double clipping = 0;     // share of the squared error that comes from clipping; the rest is rounding's
        double output = 0;       // signal-to-noise ratio of the network's output, decibels
        // The cheapest change that halves the noise at the output, and what is there then. Empty: none does, or none
        // was tried
        std::string fix{};
        double fixed_output = 0;
    };
    std::vector<Place> places;   // the most harmful first
    double output = 0;           // with all places quantized
    int64_t images = 0;          // that this was measured on

    std::string str() const;
};

// Of prepare_quantization with these options. For the `tries` most harmful places it tries, from cheap to dear: a scale
// for each output channel or another range of a weight, another observer of an activation, equalisation, and more bits.
Explanation explain_quantization(nn::Model& model, const data::Dataset& images, const QuantizeOptions& options = {},
                                 int tries = 10);

}  // namespace lathe::compress
