#pragma once
#include <vector>

#include "lathe/nn/graph_module.h"
#include "lathe/nn/model.h"

namespace lathe::compress {

// The graph of a network in evaluation whose parameters' nodes have their dense values, before masks and quantizers;
// where a norm is simulated (folded_norm.h) with its factor.
Graph dense_graph(nn::Module& module, const Tensor& example);

// A norm with fixed statistics behind a layer whose weight and result nobody else reads: nodes.
struct FoldableNorm {
    int norm, layer;
};
std::vector<FoldableNorm> foldable_norms(const Graph& graph);

// The graph of a network without its norms: a norm with fixed statistics behind a convolution or linear layer is
// multiplied into the layer's weight and bias (Jacob et al. 2017, arXiv 1712.05877, section 3.2), one that stands alone
// on images becomes a depthwise convolution of one pixel. Unlike lathe::fold it keeps parameters, whose nodes hold the
// folded dense values, and does not fuse layers with what follows them. A relu behind an addition becomes part of it.
// Norms that cannot be folded stay: those whose layer others read, too.
Graph fold_norms(nn::Module& module, const Tensor& example);

// A network of that graph, or of one made from it, with weights of its own and the masks that those of the same name
// have in `module`, or masks and quantizers. Error: a weight with another transform.
std::unique_ptr<nn::GraphModule> with_masks(Graph graph, nn::Module& module);
std::unique_ptr<nn::GraphModule> with_masks_and_quantizers(Graph graph, nn::Module& module);

// A model like the other in all but its network.
std::unique_ptr<nn::Model> with_network(const nn::Model& model, std::unique_ptr<nn::Module> network);

}  // namespace lathe::compress
