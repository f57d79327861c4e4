#pragma once
#include <functional>

#include "lathe/core/tape/variable.h"

namespace lathe {

// y = f(x), keeping only x for backward, which runs f once more for what its ops need (also called activation
// checkpointing; Chen et al. 2016, arXiv 1604.06174): less memory for one more forward, the same bits. f may read any
// other leaves, whose gradients arrive as usual; intermediate variables made outside it must come in through x. f must
// compute the same both times: global_random() is set back for that, and what f changes besides must stay as it is
// while recomputing(). Graphs show f's ops.
Variable recompute(std::function<Variable(const Variable& x)> f, const Variable& x);

}  // namespace lathe
