#pragma once
#include <cstring>
#include <memory>

#include "lathe/core/parallel.h"
#include "lathe/core/random.h"
#include "lathe/data/transforms.h"
#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/layers/dropout.h"
#include "lathe/nn/layers/flatten.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/tests/thread_scope.h"

namespace lathe::testing {

// Noisy 8x8 grey pictures of three classes: a bright left, middle or right third.
class Stripes : public data::Source {
public:
    Stripes(int64_t count, uint64_t seed)
        : Source({.name = "stripes",
                  .image_shape = {8, 8, 1},
                  .classes = {"left", "middle", "right"},
                  .normalization = {},
                  .note = {}}),
          count_(count),
          seed_(seed) {}
    int64_t size() const override { return count_; }
    int64_t label(int64_t i) const override { return i % 3; }
    data::Image image(int64_t i, Random&) const override {
        Random noise(seed_, static_cast<uint64_t>(i));
        data::Image image = data::blank_image(8, 8, 1);
        for (int64_t y = 0; y < 8; ++y)
            for (int64_t x = 0; x < 8; ++x)
                *image.at(y, x) = static_cast<uint8_t>(noise.below(100) + (x * 3 / 8 == label(i) ? 100 : 0));
        return image;
    }

private:
    int64_t count_;
    uint64_t seed_;
};

inline data::Dataset stripes(int64_t count, uint64_t seed = 1) {
    return data::Dataset(std::make_shared<Stripes>(count, seed));
}

// Everything that must survive a resume: batch statistics, dropout, weights of several ranks.
inline std::unique_ptr<nn::Sequential> toy_net(uint64_t initial = 1, int64_t channels = 4) {
    seed(initial);
    auto net = std::make_unique<nn::Sequential>();
    net->add<nn::Conv2d>("conv", {.in = 1, .out = channels, .kernel = 3, .padding = 1, .bias = false});
    net->add<nn::BatchNorm>("bn", {.channels = channels, .activation = Activation::relu});
    net->add<nn::Dropout>("drop", {.p = 0.2});
    net->add<nn::Flatten>("flatten");
    net->add<nn::Linear>("fc", {.in = channels * 64, .out = 3, .pixels = 64});
    return net;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
    return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

inline bool same_bits(nn::Module& a, nn::Module& b) {
    const auto left = a.state(), right = b.state();
    if (left.size() != right.size()) return false;
    for (const auto& [name, tensor] : left)
        if (!right.count(name) || !same_bits(tensor, right.at(name))) return false;
    return true;
}

}  // namespace lathe::testing
