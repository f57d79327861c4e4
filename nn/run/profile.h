#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lathe/core/graph/memory_plan.h"
#include "lathe/nn/module.h"
#include "lathe/nn/run/steps.h"

namespace lathe::nn {

// What one op of a network costs.
struct LayerProfile {
    std::string name{}, op{}, kernel{};  // kernel: the algorithm of a layer, with backward that of each pass
    Shape output{};
    int64_t params = 0, nonzeros = 0;    // elements of the weights that no op before it read; of them, other than zero
    int64_t weight_bytes = 0;            // that inference holds for them
    int64_t macs = 0;                    // of forward, by the op's definition
    int64_t effective_macs = 0;          // of them, those that meet a weight other than zero
    int64_t done_macs = 0;               // those that the kernel does: a dense one multiplies zeros, too
    int64_t backward_macs = 0;           // for the weight's gradient and, where one is wanted, the input's
    int64_t activation_bytes = 0;        // of its output
    int64_t workspace_bytes = 0;         // that its kernel had beside
    // The fewest bytes that must pass between memory and CPU: whatever is read or written, once.
    int64_t forward_bytes = 0, backward_bytes = 0;
    double seconds = 0;                  // of forward
    double backward_seconds = 0;         // 0 without backward

    int64_t forward_flop() const { return 2 * done_macs; }
    int64_t backward_flop() const { return 2 * backward_macs; }
};

struct NetworkProfile {
    std::vector<LayerProfile> layers;  // in order of execution
    // Of inference: activations in the block that a run has, and the bytes of its input and output beside it.
    MemoryPlan plan{};
    int64_t input_bytes = 0, output_bytes = 0;
    std::vector<std::string> alive{};  // what made the values that are alive where most bytes of the block are
    int64_t peak_activation_bytes() const { return plan.total + input_bytes + output_bytes; }
};

// What runs when the network is used (Inference), op by op, on x. Times are medians over so many runs.
NetworkProfile profile(Module& network, const Tensor& x, int runs = 20,
                       InferenceWeights weights = InferenceWeights::fastest);
// The same of a training step: forward in training mode, and backward, on the tape. It has no memory plan.
NetworkProfile profile_training(Module& network, const Tensor& x, int runs = 20);

}  // namespace lathe::nn
