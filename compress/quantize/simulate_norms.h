#pragma once
#include <map>
#include <string>
#include <vector>

#include "lathe/nn/graph_module.h"
#include "lathe/nn/model.h"

namespace lathe::compress {

// What weights' output channels were multiplied by since their norm was folded (equalize.h), by the weight's name.
using ChannelFactors = std::map<std::string, std::vector<double>>;

// The network of `folded` with the norms of `original` that fold_norms gave to its layers, under their names, as
// simulated ones (Jacob et al. 2017, arXiv 1712.05877, section 3.2; Krishnamoorthi 2018, arXiv 1806.08342, section
// 3.2.2): a layer's weight is that of the layer before folding, with a FoldedNorm (folded_norm.h) between mask and
// quantizer; behind the layer stands its batch_norm, `folded`. In evaluation the two are what `folded` computes, whose
// weights and biases may have changed since they were folded. While it trains the norm takes the batch's statistics,
// until its weight is frozen (freeze_norms.h).
std::unique_ptr<nn::GraphModule> simulate_norms(nn::GraphModule& folded, nn::Module& original, const Tensor& example,
                                                const ChannelFactors& factors = {});

// The model with its simulated norms folded, to the same weights in integers: what prepare_quantization would have
// given of it with Norms::folded. Lowering does without; files then hold integers. Others are copied.
std::unique_ptr<nn::Model> fold_simulated_norms(nn::Model& model);

}  // namespace lathe::compress
