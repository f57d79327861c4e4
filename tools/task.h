#pragma once
#include "lathe/nn/model.h"
#include "lathe/optim/evaluate.h"

namespace lathe::tools {

// What a network is for, as the commands train and measure it: classification, or reconstruction where it has no
// classes. Images of its normal classes (keep_normal_classes) are normal, all others anomalous. Error: it tells another
// number of classes apart than the images have, or none and gives something else than its input.
optim::Task task_of(nn::Model& model, const data::Dataset& images);

// The images with labels as a trained network counts them: classes of the same names in any order, or some of them.
// Unchanged for a network that has no names of classes. Error: a class that the network does not know, the first.
data::Dataset labelled_for(const nn::Model& model, const data::Dataset& images);

// Whether a network tells just these classes apart, in any order, as far as it names its own.
bool same_classes(const nn::Model& model, const std::vector<std::string>& classes);

// The classes that a network without classes was trained on, kept in its file.
void keep_normal_classes(nn::Model& model, const std::vector<std::string>& names);

// "normal: good; anomalous: cracked, dirty\n" of images, or "" where the model has classes or no image can be
// anomalous.
std::string say_normal(const nn::Model& model, const data::Dataset& images);

}  // namespace lathe::tools
