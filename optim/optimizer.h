#pragma once
#include <memory>
#include <string>
#include <vector>

#include "lathe/nn/module.h"

namespace lathe::optim {

// A rule that turns gradients into updates. It holds options only: what it remembers of a weight (momentum, moments,
// number of updates) lives with the Parameter, so that pruning and checkpoints move both together.
class Optimizer {
public:
    virtual ~Optimizer() = default;

    // Updates every trainable parameter that has a gradient, with the learning rate lr * scale (see Schedule). Of a
    // weight that was used in part since zero_grad (Parameter::used) the rest has neither decay nor momentum.
    void step(nn::Module& module, double scale = 1);

    virtual std::string name() const = 0;      // "sgd"
    virtual std::string describe() const = 0;  // "sgd: lr 0.1, momentum 0.9, weight decay 0.0005"

    double lr;  // the one home of the learning rate; a Schedule's factor scales it

protected:
    explicit Optimizer(double lr);  // Error: negative or not finite

    virtual std::vector<std::string> slot_names() const = 0;  // what it keeps for each parameter
    // One update of a parameter that has a gradient, its slots (zero before the first) and its count, this one
    // included.
    virtual void update(nn::Parameter& parameter, double lr) = 0;
};

// Weight decay with `decay_biases` off leaves out biases and the weights of norms, that is, parameters of rank 1.

// Stochastic gradient descent, as PyTorch's: g += weight_decay * w;  m = momentum * m + g;
// w -= lr * (nesterov ? g + momentum * m : m).
struct SgdOptions {
    double lr = 0.1;
    double momentum = 0.9;
    double weight_decay = 0;
    // Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013
    bool nesterov = false;
    bool decay_biases = true;
};
std::unique_ptr<Optimizer> sgd(const SgdOptions& options = {});

// Kingma and Ba, "Adam: a method for stochastic optimization", arXiv 1412.6980, as PyTorch's. Weight decay is part of
// the gradient here and shrinks the weights directly in adamw: Loshchilov and Hutter, "Decoupled weight decay
// regularization", arXiv 1711.05101.
struct AdamOptions {
    double lr = 1e-3;
    double beta1 = 0.9, beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0;
    bool decay_biases = true;
};
std::unique_ptr<Optimizer> adam(const AdamOptions& options = {});

struct AdamWOptions {
    double lr = 1e-3;
    double beta1 = 0.9, beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0.01;
    bool decay_biases = true;
};
std::unique_ptr<Optimizer> adamw(const AdamWOptions& options = {});

// The L2 norm of all gradients of the module taken as one vector; the same bits for any number of threads.
double gradient_norm(nn::Module& module);
// Scales all gradients so that their norm is at most max_norm, and returns the norm before that.
double clip_gradient_norm(nn::Module& module, double max_norm);
// Limits every element of every gradient to [-max, max].
void clip_gradient_value(nn::Module& module, double max);

}  // namespace lathe::optim
