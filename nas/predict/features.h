#pragma once
#include <span>

#include "lathe/core/tensor.h"
#include "lathe/nas/space/space.h"

namespace lathe::nas {

// An Arch as a network sees it, the course lab's encoding: one of the image sizes, one of the widths, then for every
// block one of the kernels, then for every block one of the expansions, in a joint space also bits and kept, each as a
// one among zeros. A block that does not run is all zeros; the depth is only told by that. 128 numbers for mcunetv2:
// 5 + 3 + 20 x 3 + 20 x 3.
int64_t feature_count(const Space& space);

// [archs, feature_count]. Error: an arch is none of the space.
Tensor features(const Space& space, std::span<const Arch> archs);

}  // namespace lathe::nas
