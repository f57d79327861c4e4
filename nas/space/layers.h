#pragma once
#include "lathe/nas/space/space.h"

namespace lathe::nas {

// A block as an Arch asks for it.
struct Block {
    size_t stage, place, index;  // of its stage, within it, and among all at full depth: of Arch::ks and Arch::e
    int expansion, kernel;
    int64_t in, expanded, out, stride;
    int64_t squeezed;     // channels inside its squeeze-and-excitation: in / 4, at least 1; 0: none
    int bits = 8, kept = 100;  // of the weights of its dense convolutions

    bool residual() const { return stride == 1 && in == out; }  // what enters is added as it is
};

// What an Arch stands for, layer by layer: the one place that knows channels. The network, its cost and its drawing
// follow from it. Channels are multiples of 8 (nn::models::divisible_by_8).
struct Layers {
    int64_t first, second;      // channels of the first two convolutions; second, last of 0: there is none
    int64_t first_stride;
    BlockKind kind;
    std::vector<Block> blocks;  // those that run, in order
    int64_t last, classes;
    int64_t image_size;
};

// Error: the arch is none of the space.
Layers layers_of(const Space& space, const Arch& arch);

}  // namespace lathe::nas
