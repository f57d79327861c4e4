#pragma once
#include "lathe/core/files/safetensors.h"
#include "lathe/nn/module.h"

namespace lathe::nn {

// A file of weights that PyTorch wrote, with the names that the module has for them:
//   module., _orig_mod., model.   before all names, in any nesting, where DataParallel, torch.compile and others wrap a
//                                 network: taken off, unless the module's own names begin so
//   n_averaged                    the count of an averaged model: left out
//   X_orig beside X_mask          of torch.nn.utils.prune: the weight X with a mask transform
// Error: something else stands before all names (it is named); a mask that holds more than 0 and 1.
TensorFile from_pytorch(TensorFile file, Module& module);

}  // namespace lathe::nn
