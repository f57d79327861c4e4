#pragma once
#include "lathe/nas/space/layers.h"
#include "lathe/nas/space/space.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/nn/model.h"

namespace lathe::nas {

// The network that an Arch stands for, with fresh weights: an ordinary model, which knows its arch (arch_of) and is
// trained, pruned, saved and run like any other. classes of 0: as many as usual.
// Error: the arch is none of the space.
// A block has the same name whatever the depth of stages before it: "features.stage2.0".
std::unique_ptr<nn::Model> network(const Space& space, const Arch& arch, int64_t classes = 0);

// Its parts, added to a network that ends where they begin: the convolutions in front, a block (named by its place in
// the stage), the convolution behind all, the mean of each channel and the linear layer.
void add_first(nn::Sequential& net, const Layers& layers);
void add_block(nn::Sequential& net, BlockKind kind, const Block& block);
void add_last(nn::Sequential& net, const Layers& layers);
void add_classifier(nn::Sequential& net, const Layers& layers, int64_t classes);

std::string stage_name(size_t stage);  // "stage1" for the first, 0

// The text of the arch that a model was made from, also after it was saved and loaded; "" of one that was not.
std::string arch_of(const nn::Model& model);

// Adds the design spaces to the networks that nn::make_model knows by name; ModelOptions::arch says which subnet, the
// largest unless it does. Doing it again changes nothing.
void register_spaces();

}  // namespace lathe::nas
