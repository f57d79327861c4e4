#pragma once
#include "lathe/nn/module.h"
#include "lathe/optim/loss.h"

namespace lathe::compress {

// Adds strength * (sum of |scale| over all batch norms) to a loss: training drives the scales of
// channels that matter little towards 0, and pruning by ChannelImportance::batch_norm then costs little accuracy
// (network slimming, Liu et al. 2017, arXiv 1708.06519; they use 1e-4). The module must outlive the loss. Error: a
// negative strength, or no batch norm in the module.
optim::Loss with_batch_norm_sparsity(nn::Module& module, double strength, optim::Loss loss = optim::cross_entropy());

}  // namespace lathe::compress
