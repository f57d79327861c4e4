#pragma once
#include <string>
#include <vector>

#include "lathe/data/dataset.h"
#include "lathe/nas/space/space.h"
#include "lathe/nn/model.h"

namespace lathe::nas {

// Zero-cost proxies: a number that is to order networks as their accuracies would, from the weights that they begin
// with. "Weights" are those of convolutions and linear layers. All work on the traced graph and leave the model alone;
// the same model and images give the same number for any number of threads.

// log of the sum over all weights of w dR/dw, where R is the sum of the outputs for an image of ones, all parameters
// replaced by their magnitudes (SynFlow; Tanaka et al. 2020, arXiv 2006.05467): how much flows through the network if
// no signs cancel. Norms are left out, as Abdelfattah et al. do. So are activations, for nothing is negative and no
// bound is wanted, all but sigmoid and hard_sigmoid: they gate, and gates without bounds would square what flows, block
// after block. In float64, for R grows by a factor with every layer. -infinity: nothing flows.
// Error: more flows than float64 holds.
double synflow(nn::Model& model);

// log |det K|, where K_ij counts the units (elements behind relu, relu6, hard_swish or gelu) that images i and j both
// switch on or both off (NASWOT; Mellor et al. 2021, arXiv 2006.04647): how well a network tells images apart before it
// learns to. Norms take the statistics of the batch. images: [N, H, W, C]. -infinity: K is singular, as of two images
// that switch all units alike.
// Error: a network without such units; fewer than 2 images.
double naswot(nn::Model& model, const Tensor& images);

// The Euclidean norm of the gradient of the mean cross entropy with respect to all weights (Abdelfattah et al. 2021,
// arXiv 2101.08134, whose code adds up the norms of the layers). Norms take the statistics of the batch. images:
// [N, H, W, C], labels: i32 [N]. Error: as ops::cross_entropy; fewer than 2 images.
double gradient_norm(nn::Model& model, const Tensor& images, const Tensor& labels);

enum class Proxy { synflow, naswot, gradient_norm };
const char* name_of(Proxy proxy);  // "synflow", "naswot", "gradient-norm"
Proxy proxy_named(const std::string& name);  // Error: unknown (names the nearest)
std::vector<std::string> proxy_names();

// Of a space's network for the images' classes, with first weights that follow from the seed, and on all the images,
// scaled to its size. Of a joint space: of the network before it is compressed. Error: as above.
double proxy_of(Proxy proxy, const Space& space, const Arch& arch, const data::Dataset& images, uint64_t seed = 0);

}  // namespace lathe::nas
