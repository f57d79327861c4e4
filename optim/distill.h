#pragma once
#include "lathe/nn/module.h"
#include "lathe/optim/loss.h"

namespace lathe::optim {

struct DistillOptions {
    double weight = 0.5;       // of the teacher's part of the loss, the rest being the labels'; in [0, 1]
    double temperature = 4;    // above 0: softens both outputs
    Loss labels = cross_entropy();  // the labels' part
};

// The loss of a student that also learns from a teacher's outputs (Hinton et al. 2015, arXiv 1503.02531), for
// FitOptions::loss:
//   (1 - weight) labels(output) + weight T^2 KL(softmax(teacher(x) / T) || softmax(output / T)).
// The teacher runs in evaluation mode, without gradients, on the same (augmented) images. It must outlive the loss.
// Error: options out of range, or outputs of different shapes.
Loss distill(nn::Module& teacher, const DistillOptions& options = {});

}  // namespace lathe::optim
