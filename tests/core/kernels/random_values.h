#pragma once
#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "lathe/core/kernels/dispatch/dispatch.h"

// Normal values that float32 represents exactly, so a float64 reference sees the same inputs.
template <class T>
std::vector<T> random_values(int64_t count, unsigned seed) {
    std::mt19937 engine(seed);
    std::normal_distribution<float> normal;
    std::vector<T> values(static_cast<size_t>(count));
    for (T& v : values) v = static_cast<T>(normal(engine));
    return values;
}

inline std::vector<double> magnitudes(std::vector<double> values) {
    for (double& v : values) v = v < 0 ? -v : v;
    return values;
}

// Runs body() once with the kernels of every instruction set that this machine has.
template <class Body>
void for_each_isa(const Body& body) {
    using namespace lathe::kernels;
    const Isa before = active_isa();
    for (Isa isa : kEveryIsa)
        if (supported(isa)) {
            INFO(name_of(isa));
            use_isa(isa);
            body();
        }
    use_isa(before);
}
