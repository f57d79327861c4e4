#pragma once
#include <random>
#include <vector>

#include "lathe/core/kernels/gemm/panels.h"
#include "lathe/tests/core/kernels/random_values.h"

// A weight [K, row] of random indices, and the values that they stand for.
struct IndexedValues {
    int bits;
    std::vector<uint8_t> indices;
    std::vector<float> codebook, scale, values;

    IndexedValues(int64_t k, int64_t row, int bits, bool scaled = true)
        : bits(bits), indices(static_cast<size_t>(k * row)), codebook(random_values<float>(int64_t{1} << bits, 5)) {
        if (scaled) scale = random_values<float>(k, 6);
        std::mt19937 engine(7);
        for (uint8_t& index : indices) index = static_cast<uint8_t>(engine() % codebook.size());
        for (size_t i = 0; i < indices.size(); ++i)
            values.push_back(codebook[indices[i]] * (scaled ? scale[i / static_cast<size_t>(row)] : 1.0f));
    }
    lathe::kernels::IndexedWeight of() const {
        return {bits, indices.data(), codebook.data(), scale.empty() ? nullptr : scale.data()};
    }
};
