#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lathe/nas/elastic/space_supernet.h"

namespace lathe::nas {

// The names of the weights that the bits and kept of an arch of a joint space are of, with these: patterns for
// compress::WeightPruneOptions::layers (shares of zeros) and compress::QuantizeOptions::layers.
std::vector<std::pair<std::string, double>> sparsities_of(const Space& joint, const Arch& arch);
std::vector<std::pair<std::string, int>> bits_of(const Space& joint, const Arch& arch);
// Of a pruned_subnet, loaded again or trained; none of another network.
std::vector<std::pair<std::string, int>> bits_of(const nn::Model& model);

// A subnet as an arch of a joint space asks for it, as a network of its own, without any training: its smallest weights
// are masked, then its norms' statistics follow on `images`. Error: a joint space of another supernet.
std::unique_ptr<nn::Model> pruned_subnet(SpaceSupernet& net, const Space& joint, const Arch& arch,
                                         const data::Dataset& images);

// Then its weights, and the activations in 8 bits, are quantized (compress/quantize/prepare.h): what a table of a joint
// space says the accuracy of.
std::unique_ptr<nn::Model> compressed_subnet(SpaceSupernet& net, const Space& joint, const Arch& arch,
                                             const data::Dataset& images);

}  // namespace lathe::nas
