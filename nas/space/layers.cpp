#include "lathe/nas/space/layers.h"

#include <algorithm>

#include "lathe/nn/models/options.h"

namespace lathe::nas {

Layers layers_of(const Space& space, const Arch& arch) {
    space.check(arch);
    const double width = space.widths[static_cast<size_t>(arch.wid)];
    const auto scaled = [&](int64_t channels) {
        return nn::models::divisible_by_8(static_cast<double>(channels) * width);
    };
    Layers layers{.first = scaled(space.first),
                  .second = space.second ? scaled(space.second) : 0,
                  .first_stride = space.first_stride,
                  .kind = space.block,
                  .blocks = {},
                  .last = space.last,
                  .classes = space.classes,
                  .image_size = arch.image_size};
    layers.blocks.reserve(space.blocks());
    int64_t in = layers.second ? layers.second : layers.first;
    size_t first_of_stage = 0;
    for (size_t s = 0; s < space.stages.size(); ++s) {
        const Stage& stage = space.stages[s];
        const int64_t out = scaled(stage.channels);
        for (int i = 0; i < space.depth(arch, s); ++i) {
            const size_t index = first_of_stage + static_cast<size_t>(i);
            const int expansion = arch.e[index];
            const double expanded = space.block == BlockKind::basic ? static_cast<double>(out * expansion) / 4
                                                                    : static_cast<double>(in * expansion);
            layers.blocks.push_back({.stage = s,
                                     .place = static_cast<size_t>(i),
                                     .index = index,
                                     .expansion = expansion,
                                     .kernel = arch.ks[index],
                                     .in = in,
                                     .expanded = nn::models::divisible_by_8(expanded),
                                     .out = out,
                                     .stride = i == 0 ? stage.stride : 1,
                                     .squeezed = i < stage.first_squeezed ? 0 : std::max<int64_t>(1, in / 4)});
            Block& block = layers.blocks.back();
            if (space.joint()) block.bits = arch.bits[index], block.kept = arch.kept[index];
            in = out;
        }
        first_of_stage += static_cast<size_t>(stage.full_depth);
    }
    return layers;
}

}  // namespace lathe::nas
