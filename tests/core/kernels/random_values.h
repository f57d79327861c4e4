#pragma once
#include <cstdint>
#include <random>
#include <vector>

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
