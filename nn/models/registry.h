#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lathe/nn/model.h"

namespace lathe::nn {

// The networks by the names that the command takes: lenet5, vgg-cifar, resnet20, mobilenetv2, resnet8,
// mobilenetv1-025, ds-cnn, autoencoder, and those that were added with register_model.
std::vector<std::string> model_names();

// A network of the zoo, or one described in a file (nn/models/description.h) where the name ends in ".json".
// Error: an unknown name (names the nearest), or options that the network cannot have.
std::unique_ptr<Model> make_model(const std::string& name, const ModelOptions& options = {});

// Adds an architecture by name. Error: the name is taken.
using ModelFactory = std::function<std::unique_ptr<Model>(const ModelOptions& options)>;
void register_model(const std::string& name, ModelFactory factory);

}  // namespace lathe::nn
