#pragma once
#include "lathe/core/ops/pool2d.h"
#include "lathe/nn/module.h"

namespace lathe::nn {

struct MaxPool2dOptions {
    ops::Pair kernel{};
    std::optional<ops::Pair> stride{};  // the kernel's size unless given
    ops::Padding padding{};
};

struct AvgPool2dOptions {
    ops::Pair kernel{};
    std::optional<ops::Pair> stride{};
    ops::Padding padding{};
    bool count_include_pad = true;  // divide by the kernel's size, else by the number of pixels inside the image
};

// ops::max_pool2d and ops::avg_pool2d.   x [N, H, W, C]  ->  y [N, P, Q, C]
// Error: kernel or stride below 1, padding outside [0, kernel).
class MaxPool2d : public Module {
public:
    using Options = MaxPool2dOptions;
    explicit MaxPool2d(const Options& options);

private:
    Variable forward(const Variable& x) override;

    Options options_;
};

class AvgPool2d : public Module {
public:
    using Options = AvgPool2dOptions;
    explicit AvgPool2d(const Options& options);

private:
    Variable forward(const Variable& x) override;

    Options options_;
};

// The mean of each channel's map.   x [N, H, W, C]  ->  y [N, C]
class GlobalAvgPool : public Module {
    Variable forward(const Variable& x) override { return ops::global_avg_pool(x); }
};

}  // namespace lathe::nn
