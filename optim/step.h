#pragma once
#include <functional>

#include "lathe/optim/loss.h"

namespace lathe::optim {

// Runs the network on a batch's inputs, on the tape; activations are recomputed in backward where FitOptions says so.
using Forward = std::function<Variable(const data::Batch& batch)>;

// What a step reports: the loss, and the output that metrics are taken of.
struct StepResult {
    double loss = 0;
    Tensor output;  // for the whole batch
};

// The forwards and backwards of one training step: adds to the gradients of the network, which are zero before it, and
// leaves the update to the Trainer. A step may run the network as often as it likes, each time set up differently: the
// sandwich rule of supernets adds the gradients of the largest, the smallest and some random subnets.
using Step = std::function<StepResult(const Forward& forward, const Loss& loss, const data::Batch& batch)>;

// One forward, one backward: what Trainer does unless told otherwise.
Step plain_step();

// The same for `parts` of the batch one after the other, of about the same size, with the gradients of the batch's mean
// loss: a large batch in the memory of a small one. Batch norms see a part at a time. Error: fewer than 1.
Step accumulated(int64_t parts);

}  // namespace lathe::optim
