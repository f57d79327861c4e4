#pragma once
#include <string>
#include <vector>

#include "lathe/compress/channels/groups.h"

namespace lathe::compress {

// What became of channels that were cut although they held a constant other than zero, at one layer that read them.
struct Absorption {
    std::string layer{};   // "backbone.conv3"
    int64_t channels = 0;
    enum class How {
        exact,     // the constant's share is in the layer's bias now
        interior,  // so it is, but zero padding makes that wrong at the image's border
        lost,  // it is nowhere: borders were asked to count, the layer has neither bias nor batch norm behind it, or
               // its weights are used more than once
    } how = How::exact;
};

// A channel whose batch norm has scale 0, or whose filter is zero, holds one value for every input: activation(shift).
// When it goes, its share in the outputs of the layers that read it is added to their bias; without a bias, taken off
// the running mean of the batch norm behind. To be called before ChannelGroups::select_ with the same choice.
// `at_borders`: also where zero padding makes it inexact there.
std::vector<Absorption> absorb_constants(const ChannelGroups& groups, const ChannelChoice& choice,
                                         bool at_borders = true);

}  // namespace lathe::compress
