#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lathe/core/random.h"

namespace lathe::nas {

// One network of a design space. As text it is what the course lab's tables hold:
//   {"wid":0,"ks":[20 kernels],"e":[20 expansions],"d":[6 depths],"image_size":96}
// A block that its stage's depth leaves out has a kernel and an expansion as well; they mean nothing.
struct Arch {
    int wid = 0;             // index into Space::widths
    std::vector<int> ks, e;  // of every block, stage by stage at full depth: kernel size and expansion ratio
    std::vector<int> d;      // of every stage: how many blocks it has beyond its base, up to its full depth
    int image_size = 0;      // pixels of a side
    // Of every block, in a joint space only: bits of its weights, and percent of them that are not zero. Depthwise
    // convolutions, of few weights, and squeeze-and-excitation keep all of theirs in 8 bits.
    std::vector<int> bits{}, kept{};

    bool operator==(const Arch&) const = default;
    std::string str() const;  // the text, on one line; of a joint space with "bits" and "kept" at the end
    Arch uncompressed() const;  // without bits and kept
};

// What each part of an Arch may be, rising. Fewer choices make a smaller space of the same networks.
struct Choices {
    std::vector<int> wid, ks, e, d, image_size, bits{}, kept{};
};

// What is chosen for every block, by its key in an arch's text. Without choices a space does not have it.
struct BlockChoice {
    const char* key;
    std::vector<int> Arch::* values;
    std::vector<int> Choices::* choices;
};
constexpr BlockChoice kBlockChoices[] = {{"ks", &Arch::ks, &Choices::ks},
                                         {"e", &Arch::e, &Choices::e},
                                         {"bits", &Arch::bits, &Choices::bits},
                                         {"kept", &Arch::kept, &Choices::kept}};

// What a space's networks are made of (nn/blocks), with what an expansion e means there: the channels inside a block
// are e times those that enter an inverted residual, e quarters of those that leave a basic block.
enum class BlockKind { inverted_residual, basic };

// Blocks of equal channels; only the first has the stride.
struct Stage {
    int64_t channels, stride;
    int base_depth, full_depth;
    int first_squeezed;  // blocks from this one on have squeeze-and-excitation; full_depth: none
};

// How much a mutation changes: the probability of a new image size, and that of a new value for the width, for the
// kernel and expansion of a block (together), for its bits and kept (together), and for a stage's depth. A new value
// may be the old one.
struct Mutation {
    double arch = 0.1, image_size = 0.5;
};

// A family of networks that share a supernet: a 3x3 convolution, a 1x1 convolution, the stages of blocks, a 1x1
// convolution, the mean of each channel, a linear layer.
struct Space {
    std::string name;
    Choices choices;
    std::vector<double> widths;     // multipliers of the channels below, but for those of the last convolution
    int64_t first, second, last;    // channels of the three convolutions outside of stages; second, last of 0: none
    int64_t first_stride = 2;
    BlockKind block = BlockKind::inverted_residual;
    std::vector<Stage> stages;
    int64_t classes;
    std::string supernet{};  // of a joint space: the name of the space whose networks it compresses

    bool joint() const { return !supernet.empty(); }
    size_t blocks() const;                                // at full depth
    int depth(const Arch& arch, size_t stage) const;      // blocks that run
    std::string count() const;                            // of different networks: exact, in decimal digits
    Arch smallest() const { return uniform(false); }      // of every choice the least
    Arch largest() const { return uniform(true); }

    // The same network with what makes no difference at its least: two are the same network if these are equal.
    Arch canonical(Arch arch) const;

    // Error: a list of another length, or a value that is no choice (names it).
    void check(const Arch& arch) const;
    // JSON as Arch::str gives it, or the word "smallest" or "largest". Error: none of these, a key that is unknown or
    // missing, or as check.
    Arch parse(std::string_view text) const;

    // Each choice with equal probability, as the lab draws.
    Arch sample(Random& random) const;
    Arch mutated(Arch arch, const Mutation& mutation, Random& random) const;
    // Every number from one of the two, whichever.
    Arch crossed(const Arch& a, const Arch& b, Random& random) const;

private:
    Arch uniform(bool largest) const;
};

// The course lab's OFAMCUNets: MCUNetV2 (Lin et al. 2021, arXiv 2110.15352) for "is there a person?" on images of 96 to
// 160 pixels, 3.26 10^20 networks. The lab's supernet was never trained at width index 2 (1.0).
const Space& mcunetv2();
// For images of CIFAR-10's size: MobileNetV2's blocks, 3.99 10^10 networks of 0.5 to 13.7 million MACs, and ResNet's,
// 1.44 10^7 of 0.8 to 14.1 million.
const Space& ofa_mobilenet_cifar();
const Space& ofa_resnet_cifar();

// Their networks with the bits and zeros of each block: what one search has to choose for the smallest file (Wang et
// al. 2020, "APQ", arXiv 2006.08509). 3, 4, 6 or 8 bits, 20, 30, 50 or 100 percent kept.
const Space& ofa_mobilenet_cifar_joint();
const Space& ofa_resnet_cifar_joint();

std::vector<std::string> space_names();
const Space& space_named(const std::string& name);  // Error: unknown (names the nearest)

}  // namespace lathe::nas
