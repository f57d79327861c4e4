#include "lathe/nn/init.h"

#include <cmath>
#include <utility>

#include "lathe/core/random.h"
#include "lathe/nn/layers/conv2d.h"

namespace lathe::nn::init {

namespace {

thread_local bool skipping = false;

template <class Draw>
Tensor filled(const Shape& shape, Draw draw) {
    Tensor tensor(shape);
    if (skipping) return tensor;
    float* to = tensor.mutable_data<float>();
    for (int64_t i = 0; i < tensor.numel(); ++i) to[i] = static_cast<float>(draw());
    return tensor;
}

}  // namespace

Tensor uniform(const Shape& shape, double bound) {
    return filled(shape, [=] { return global_random().uniform(-bound, bound); });
}

Tensor normal(const Shape& shape, double deviation) {
    return filled(shape, [=] { return deviation * global_random().normal(); });
}

Tensor fan_in_uniform(const Shape& shape, int64_t fan_in) {
    return uniform(shape, 1 / std::sqrt(static_cast<double>(fan_in)));
}

void he_normal(Module& network, Fan fan) {
    for (const auto& [name, module] : network.named_modules())
        if (auto* conv = dynamic_cast<Conv2d*>(module)) {
            const Shape shape = conv->weight.shape();  // [out, kh, kw, in / groups]
            const int64_t window = shape[1] * shape[2];
            const auto count = static_cast<double>(window * (fan == Fan::in ? shape[3] : shape[0]));
            conv->weight.set_value(normal(shape, std::sqrt(2 / count)));
        }
}

Skip::Skip() : before_(std::exchange(skipping, true)) {}
Skip::~Skip() { skipping = before_; }

}  // namespace lathe::nn::init
