#pragma once
#include <functional>
#include <string>
#include <vector>

#include "lathe/core/tape/variable.h"

namespace lathe {

struct GradcheckOptions {
    double step = 6e-6;        // central differences move each element by step * max(1, |x|), near cbrt(epsilon)
    double tolerance = 1e-6;   // on the relative error
    uint64_t seed = 0;         // of the random projection of the output
};

struct GradcheckResult {
    bool passed = false;
    double worst = 0;      // the largest relative error found
    std::string message;   // where it was found, with both numbers
    explicit operator bool() const { return passed; }
};

// Compares the backward of f with central differences in float64, for every element of every input, along one random
// direction of the output. The relative error of an element is |analytic - numeric| / max(|analytic|, |numeric|, 1% of
// the largest gradient of that input). f must be deterministic and smooth around the inputs (keep away from kinks).
// Also checks that backward adds to a gradient that is already there. Works for users' own ops.
// Error: an input is not float64.
using GradcheckFn = std::function<Variable(const std::vector<Variable>& inputs)>;
GradcheckResult gradcheck(const GradcheckFn& f, const std::vector<Tensor>& inputs,
                          const GradcheckOptions& options = {});

}  // namespace lathe
