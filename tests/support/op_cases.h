#pragma once
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "lathe/core/tape/gradcheck.h"
#include "lathe/core/random.h"
#include "lathe/core/tensor.h"

namespace lathe::testing {

// How the inputs of a gradient check are drawn.
using Draw = std::function<Tensor(const Shape& shape, Random& random)>;

inline Tensor draw_each(const Shape& shape, const std::function<double(int64_t)>& element) {
    Tensor x(shape, DType::f64);
    double* to = x.mutable_data<double>();
    for (int64_t i = 0; i < x.numel(); ++i) to[i] = element(i);
    return x;
}

// Normal values.
inline Tensor normal(const Shape& shape, Random& random) {
    return draw_each(shape, [&](int64_t) { return random.normal(); });
}

// Values at least `margin` away from every kink (a point where the derivative jumps).
inline Draw away_from(std::vector<double> kinks, double margin = 0.05) {
    return [=](const Shape& shape, Random& random) {
        return draw_each(shape, [&](int64_t) {
            for (;;) {
                const double x = 3 * random.normal();
                bool clear = true;
                for (double kink : kinks) clear = clear && std::abs(x - kink) > margin;
                if (clear) return x;
            }
        });
    };
}

// A random order of values at least 0.1 apart: no two compete for a maximum.
inline Tensor distinct(const Shape& shape, Random& random) {
    std::vector<double> values(static_cast<size_t>(shape.numel()));
    for (size_t i = 0; i < values.size(); ++i)
        values[i] = 0.1 * static_cast<double>(i) - 0.05 * static_cast<double>(values.size());
    for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random.below(static_cast<int64_t>(i))]);
    return draw_each(shape, [&](int64_t i) { return values[i]; });
}

// One gradient check of an op: the test of core/gradcheck runs every registered one and demands at least one for each
// function that the headers in core/ops declare.
struct OpCase {
    std::string op;        // the function's name in lathe::ops
    std::string what;      // what this case is about ("groups = C")
    std::vector<Shape> inputs;
    GradcheckFn f;
    Draw draw = normal;
};

inline std::vector<OpCase>& op_cases() {
    static std::vector<OpCase> cases;
    return cases;
}

// At namespace scope in an op's test: `const bool registered = register_cases({{"relu", "any shape", {{3, 5}}, …}});`
inline bool register_cases(const std::vector<OpCase>& cases) {
    op_cases().insert(op_cases().end(), cases.begin(), cases.end());
    return true;
}

}  // namespace lathe::testing
