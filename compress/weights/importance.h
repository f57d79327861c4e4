#pragma once
#include <map>
#include <string>
#include <vector>

#include "lathe/compress/chosen.h"
#include "lathe/data/dataset.h"
#include "lathe/nn/module.h"

namespace lathe::compress {

// How much a single weight matters, w being the weight and g the gradient of the loss.
enum class WeightImportance {
    magnitude,  // |w| (Han et al. 2015, arXiv 1506.02626)
    taylor,     // mean of |g w| over batches: the change of the loss without it, to first order (Molchanov et al. 2016,
                // arXiv 1611.06440; 2019, arXiv 1906.10771)
    movement,   // sum of -g w over steps: positive where training moves the weight away from 0 (Sanh et al. 2020, arXiv
                // 2005.07683)
    random,
};
const char* name_of(WeightImportance importance);
std::vector<std::string> weight_importance_names();
WeightImportance weight_importance_of(const std::string& name);  // Error: unknown (names the nearest)

struct WeightImportanceOptions {
    WeightImportance kind = WeightImportance::magnitude;
    uint64_t seed = 0;                    // of `random` and of the images
    const data::Dataset* data = nullptr;  // for taylor and movement: labelled images of the training set
    int64_t images = 1024;                // of them, drawn at random
};

// An f32 tensor of each parameter's shape, from the dense values. taylor and movement take the scores that
// collect_scores has gathered while training, else run the module on the images in evaluation mode and drop its
// gradients. Error: they have neither.
std::vector<Tensor> weight_importance(nn::Module& module, const NamedParameters& parameters,
                                      const WeightImportanceOptions& options);

// Adds the gradients that are there now to the scores of taylor (a moving average of decay 0.9) or movement; nothing
// for other kinds. Scores are a slot of the parameter beside the optimizer's, so checkpoints and surgery keep them.
void collect_scores(const NamedParameters& parameters, WeightImportance kind);

}  // namespace lathe::compress
