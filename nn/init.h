#pragma once
#include "lathe/nn/module.h"

// First values of weights, drawn from global_random(): seed() decides them.
namespace lathe::nn::init {

Tensor uniform(const Shape& shape, double bound);  // between -bound and bound
Tensor normal(const Shape& shape, double deviation);

// What PyTorch gives convolutions and linear layers, weight and bias alike: uniform within 1 / sqrt(fan_in), the number
// of inputs of one output.
Tensor fan_in_uniform(const Shape& shape, int64_t fan_in);

// Draws the weights of every Conv2d of the network anew from a normal distribution of variance 2 / fan (He et al. 2015,
// arXiv 1502.01852). Fan::in is the number of inputs of one output; Fan::out, PyTorch's count, is output channels x
// kernel size.
enum class Fan { in, out };
void he_normal(Module& network, Fan fan);

// While it lives, the functions above leave the elements as they are in memory: the weights are about to be loaded.
class Skip {
public:
    Skip();
    ~Skip();
    Skip(const Skip&) = delete;
    Skip& operator=(const Skip&) = delete;

private:
    bool before_;
};

}  // namespace lathe::nn::init
