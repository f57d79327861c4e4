#pragma once
#include <string>
#include <vector>

#include "lathe/nas/predict/latency.h"
#include "lathe/nas/space/space.h"

namespace lathe::nas {

// What a subnet costs on one image.
struct Efficiency {
    int64_t macs = 0;         // multiply-accumulates of convolutions and linear layers
    // The course lab's count (thop's): macs, and four for each element of a batch norm's output. The lab says that
    // batch norms are removed before counting; its printed figures include them.
    int64_t lab_macs = 0;
    // Bytes of int8 activations at the fullest place, as the lab counts it: input and output of each convolution,
    // beside a depthwise one also the input of its block if that has a shortcut. The shortcut beside the last
    // convolution of a block and what squeeze-and-excitation keeps are left out, so a real arena can be larger.
    int64_t peak_memory = 0;
    int64_t arena = 0;        // bytes of activations of the integer program, as it plans them (compress/integer)
    int64_t parameters = 0;   // trainable: weights, biases, scales and shifts of batch norms
    // Bytes of constants of the int8 network, batch norms folded: a byte for a weight; four for the bias and four for
    // the scale of each channel that a layer makes. Of a joint space: the weights that are kept, in so many bits, and
    // what says where they are.
    int64_t flash = 0;
    int64_t latency = 0;      // nanoseconds by a table of measured times; 0 without one
};

// In closed form from the layers' channels: no network is built. Error: the arch is none of the space.
Efficiency efficiency(const Space& space, const Arch& arch);

// What can be limited, by the names "macs", "lab-macs", "peak-memory", "arena", "parameters", "flash" and "latency".
enum class Quantity { macs, lab_macs, peak_memory, arena, parameters, flash, latency };
const char* name_of(Quantity quantity);
Quantity quantity_of(const std::string& name);  // Error: unknown (names the nearest)
std::string text_of(Quantity quantity, int64_t value);  // "59.12 M", "72 KB" (of 1024 bytes), "304,538"
int64_t value_of(const Efficiency& efficiency, Quantity quantity);
std::vector<Quantity> quantities();  // those in closed form: all but latency

struct Limit {
    Quantity quantity;
    int64_t most;
    const LatencyTable* table = nullptr;  // of latency
};
using Limits = std::vector<Limit>;

// With latency if a limit has a table for it. Error: as LatencyTable::seconds.
Efficiency efficiency(const Space& space, const Arch& arch, const Limits& limits);

bool fits(const Efficiency& efficiency, const Limits& limits);
// No choice of a space makes a network smaller than its least does, in any quantity; so what its smallest network does
// not meet, none can. Error: such limits (says the nearest that can be met).
void check_reachable(const Space& space, const Limits& limits);

}  // namespace lathe::nas
