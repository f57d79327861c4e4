#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lathe/nn/module.h"

namespace lathe::nn {

// What one op of a network costs.
struct LayerProfile {
    std::string name{}, op{}, kernel{};  // kernel: the algorithm of a layer, with backward that of each pass
    Shape output{};
    int64_t params = 0;
    int64_t macs = 0;                    // of forward
    int64_t backward_macs = 0;           // for the weight's gradient and, where one is wanted, the input's
    int64_t activation_bytes = 0;        // of its output
    // The fewest bytes that must pass between memory and CPU: whatever is read or written, once.
    int64_t forward_bytes = 0, backward_bytes = 0;
    double seconds = 0;                  // of forward
    double backward_seconds = 0;         // 0 without backward

    int64_t forward_flop() const { return 2 * macs; }
    int64_t backward_flop() const { return 2 * backward_macs; }
};

struct ProfileOptions {
    int runs = 20;          // times are medians over so many
    bool backward = false;  // a training step's forward and backward, in training mode, instead of inference
};

struct NetworkProfile {
    std::vector<LayerProfile> layers;  // in order of execution
    int64_t peak_activation_bytes = 0; // of inference
};

// Runs the network on x and takes its ops' time.
NetworkProfile profile(Module& network, const Tensor& x, const ProfileOptions& options = {});

}  // namespace lathe::nn
