#pragma once
#include "lathe/nn/graph_module.h"

namespace lathe::compress {

// The graph of a network without its norms: a norm with fixed statistics behind a convolution or linear layer is
// multiplied into the layer's weight and bias (Jacob et al. 2017, arXiv 1712.05877, section 3.2), one that stands alone
// on images becomes a depthwise convolution of one pixel. Unlike lathe::fold it keeps parameters, whose nodes hold the
// folded dense values, and does not fuse layers with what follows them. A relu behind an addition becomes part of it.
// Norms that cannot be folded stay: those whose layer others read, too.
Graph fold_norms(nn::Module& module, const Tensor& example);

// A network of that graph, or of one made from it, with the masks that the weights of the same name have in `module`.
// Error: a weight with another transform than a mask.
std::unique_ptr<nn::GraphModule> with_masks(Graph graph, nn::Module& module);

}  // namespace lathe::compress
