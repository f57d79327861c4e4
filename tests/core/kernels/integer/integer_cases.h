#pragma once
#include <cmath>
#include <vector>

#include "lathe/core/kernels/integer/conv2d.h"
#include "lathe/core/random.h"

namespace lathe::testing {

// A layer of random integers that fit its geometry.
struct IntegerLayer {
    std::vector<int8_t> weight;
    std::vector<int32_t> bias, fraction, multiplier, shift, addend_multiplier, addend_shift;
    kernels::integer::Layer layer;

    IntegerLayer(const kernels::Conv2dShape& shape, int bits, bool adds, uint64_t seed = 1) {
        Random random(seed);
        const int64_t end = 1 << (bits - 1), unit = 1 << (8 - bits), low = bits == 8 ? -127 : -end, high = end - 1;
        for (int64_t i = 0; i < shape.weight_count(); ++i)
            weight.push_back(static_cast<int8_t>(low + static_cast<int64_t>(random.below(high - low + 1))));
        for (int64_t k = 0; k < shape.out_c; ++k) {
            bias.push_back(static_cast<int32_t>((random.below(4001) - 2000) * unit));
            const auto m = integer::multiplier_of(0.3 / static_cast<double>(end * unit) * (0.5 + random.uniform()));
            multiplier.push_back(m.m), shift.push_back(31 - m.s);
            fraction.push_back(static_cast<int32_t>(random.uniform() * m.m));
            // An addend's step is about 37 of the sums'.
            const double of_addend = 37 * static_cast<double>(unit) * (0.5 + random.uniform()) * m.m;
            addend_shift.push_back(static_cast<int32_t>(1 + std::log2(of_addend) - 31));
            addend_multiplier.push_back(static_cast<int32_t>(std::ldexp(of_addend, -addend_shift.back())));
        }
        layer = {.shape = shape, .weight = weight.data(), .bits = bits, .bias = bias.data(),
                 .fraction = fraction.data(), .multiplier = multiplier.data(), .shift = shift.data(),
                 .addend_multiplier = adds ? addend_multiplier.data() : nullptr,
                 .addend_shift = adds ? addend_shift.data() : nullptr, .addend_zero = 9, .x_zero = 131, .zero = 100,
                 .low = 100, .high = 240};
    }
    IntegerLayer(const IntegerLayer&) = delete;
};

inline std::vector<uint8_t> random_bytes(int64_t count, uint64_t seed) {
    Random random(seed);
    std::vector<uint8_t> bytes(static_cast<size_t>(count));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.below(256));
    return bytes;
}

}  // namespace lathe::testing
