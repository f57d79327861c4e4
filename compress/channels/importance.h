#pragma once
#include <string>
#include <vector>

#include "lathe/compress/channels/groups.h"
#include "lathe/data/dataset.h"

namespace lathe::compress {

// How much a channel matters. Each is summed over all members of a group that it applies to; weights count with their
// masks.
enum class ChannelImportance {
    next_l2,           // the course lab's: L2 norm of the next convolutions' weights that read it
    l1,                // L1 norm of the filters that make it (Li et al. 2016, arXiv 1608.08710)
    l2,                // their L2 norm
    batch_norm,        // |scale| of its norms (Liu et al. 2017, arXiv 1708.06519)
    geometric_median,  // distance of its filter to all others (He et al. 2019, arXiv 1811.00250)
    taylor,            // (sum of gradient x weight)^2, mean over batches (Molchanov et al. 2019, arXiv 1906.10771)
    random,
    order,             // the first are the most important: what the course lab does without sorting
};
const char* name_of(ChannelImportance importance);
std::vector<std::string> channel_importance_names();
ChannelImportance channel_importance_of(const std::string& name);  // Error: unknown (names the nearest)

struct ChannelImportanceOptions {
    ChannelImportance kind = ChannelImportance::l1;
    uint64_t seed = 0;                    // of `random` and of the images
    const data::Dataset* data = nullptr;  // for `taylor`: labelled images of the training set
    int64_t images = 1024;                // of them, drawn at random
};

// The importance of every channel by group; empty for a group in which nothing says it (batch_norm without a norm,
// next_l2 without a next convolution), which then should be left alone. `taylor` runs the module in evaluation mode and
// drops its gradients. Error: `taylor` without data.
std::vector<std::vector<double>> channel_importance(const ChannelGroups& groups, nn::Module& module,
                                                    const ChannelImportanceOptions& options);

}  // namespace lathe::compress
