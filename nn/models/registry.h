#pragma once
#include <memory>
#include <string>
#include <vector>

#include "lathe/nn/model.h"

namespace lathe::nn {

// The networks by the names that the command takes: lenet5, vgg-cifar, resnet20, mobilenetv2, resnet8,
// mobilenetv1-025, ds-cnn, autoencoder.
std::vector<std::string> model_names();

// Error: an unknown name (names the nearest), or options that the network cannot have.
std::unique_ptr<Model> make_model(const std::string& name, const ModelOptions& options = {});

}  // namespace lathe::nn
