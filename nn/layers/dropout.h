#pragma once
#include "lathe/core/ops/dropout.h"
#include "lathe/nn/module.h"

namespace lathe::nn {

struct DropoutOptions {
    double p = 0.5;  // probability that an element is dropped
};

// ops::dropout in training mode, nothing in evaluation. Error: p outside [0, 1).
class Dropout : public Module {
public:
    using Options = DropoutOptions;
    explicit Dropout(const Options& options) : options_(options) {
        check(options.p >= 0 && options.p < 1, "dropout: expected a probability in [0, 1), got ", options.p);
    }

private:
    Variable forward(const Variable& x) override { return ops::dropout(x, options_.p, training()); }

    Options options_;
};

}  // namespace lathe::nn
